"""Rows that tables share, and large arrays."""
