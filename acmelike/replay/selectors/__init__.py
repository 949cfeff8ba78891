"""Selectors: they choose the items that a table samples or evicts."""
