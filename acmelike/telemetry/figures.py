"""Figures as people read them."""

from __future__ import annotations


def return_text(value: float) -> str:
    """A return with one digit after the point, or two if it is below ten."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
