"""A small curve of braille characters, each of which has 2 x 4 dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The bit of each dot, from the top; left column, right column.
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def curve(
    points: Sequence[tuple[float, float]],
    width: int,
    height: int,
    *,
    low: float,
    high: float,
) -> list[str]:
    """Draws a line through points over 0 to the last of them.

    Args:
      points: (x, y), x rising from 0 or above; at least one.
      width: in characters.
      height: in characters.
      low: y at the bottom.
      high: y at the top.

    Returns:
      The lines from the top, each of `width` characters; blank where no dot is.
    """
    xs, ys = np.array(points, float).T
    columns = np.linspace(0, xs[-1], 2 * width)
    values = np.interp(columns, xs, ys)
    share = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    rows = np.round((1 - share) * (4 * height - 1)).astype(int)
    masks = np.zeros((height, width), int)
    # The first point may lie between two columns, and still has its dot.
    first = min(int(np.searchsorted(columns, xs[0])), 2 * width - 1)
    last = rows[first]
    for column in range(first, 2 * width):
        here, back = rows[column], 1 if last > rows[column] else -1
        for row in range(here, last, back) or (here,):  # Steep parts have no holes.
            masks[row // 4, column // 2] |= _BITS[column % 2][row % 4]
        last = rows[column]
    return [
        "".join(chr(0x2800 + mask) if mask else " " for mask in line) for line in masks
    ]
