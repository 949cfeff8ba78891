"""Checkpoints of replay."""
