"""Agents: pure functions and a builder each."""
