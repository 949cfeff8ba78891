"""Wrappers: environments that change another environment."""
