"""The pieces that the live table is drawn with: numbers, bars, curves and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.text import Text

# Terminals are light or dark. Colours of medium brightness are readable on both.
TITLE, QUIET, BAD = "bold", "color(245)", "color(167)"
BUSY, WAITING = "color(67)", "color(137)"
GAP = "  "


def rate(value: float) -> str:
    """Formats a number per second."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def count(number: int) -> str:
    """Formats a whole number."""
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.2f} M"


def size(num_bytes: float) -> str:
    """Formats a number of bytes, with its unit."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.{0 if unit == 'B' or num_bytes >= 10 else 1}f} {unit}"
        num_bytes /= 1e3
    return f"{num_bytes:.1f} GB"


def duration(seconds: float) -> str:
    """Formats a short time, with its unit."""
    for unit, number in (("µs", seconds * 1e6), ("ms", seconds * 1e3)):
        if number < 999.5:
            return f"{number:.{0 if number >= 10 else 1}f} {unit}"
    return f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """Formats a long time, such as 3:07 or 1:03:07."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def several(name: str, number: int) -> str:
    """Formats a name and, if there are several of it, their number."""
    return name if number == 1 else f"{name} x{number}"


def bar(width: int, *parts: tuple[float, str]) -> Text:
    """Draws shares of 1 as parts of a bar, each in its style.

    Args:
      width: in characters.
      *parts: (share, style), from the left.
    """
    text, end, total = Text(), 0, 0.0
    for share, style in parts:
        total += share
        stop = min(width, round(total * width))
        text.append("━" * (stop - end), style)
        end = max(end, stop)
    return text.append("─" * (width - end), QUIET)


# A braille character has 2 x 4 dots: the bit of each, from the top, by column.
_DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def curve(
    points: Sequence[tuple[float, float]],
    width: int,
    height: int,
    *,
    low: float,
    high: float,
) -> list[str]:
    """Draws a line through points, from x = 0 to the last point.

    Args:
      points: (x, y) with increasing x, all at least 0; at least one point.
      width: in characters.
      height: in characters.
      low: y at the bottom.
      high: y at the top.

    Returns:
      The lines from the top, each of `width` characters, blank where no dot is.
    """
    xs, ys = np.array(points, float).T
    columns = np.linspace(0, xs[-1], 2 * width)
    values = np.interp(columns, xs, ys)
    share = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    rows = np.round((1 - share) * (4 * height - 1)).astype(int)
    masks = np.zeros((height, width), int)
    # The first point may lie between two columns; it gets a dot all the same.
    first = min(int(np.searchsorted(columns, xs[0])), 2 * width - 1)
    last = rows[first]
    for column in range(first, 2 * width):
        here, back = rows[column], 1 if last > rows[column] else -1
        # Where the line is steep, a column has dots up to the height of the last one.
        for row in range(here, last, back) or (here,):
            masks[row // 4, column // 2] |= _DOT_BITS[column % 2][row % 4]
        last = rows[column]
    return [
        "".join(chr(0x2800 + mask) if mask else " " for mask in line) for line in masks
    ]


class TableColumn(NamedTuple):
    """A column of a table.

    Attributes:
      title: the text above the column.
      cells: the text of each row.
      width: in characters; 0 for the width that the other columns leave free.
      right: whether the text is aligned to the right.
    """

    title: Text | str
    cells: Sequence[Text | str]
    width: int = 0
    right: bool = False


def table(columns: Sequence[TableColumn], width: int) -> list[Text]:
    """Draws a table, titles first, in lines of exactly `width` characters."""
    fixed = sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)
    lines = []
    for row in range(-1, len(columns[0].cells)):
        pieces = []
        for index, column in enumerate(columns):
            # The first title names the section and stands out from the others.
            title = fit(column.title, column.width or width - fixed, column.right)
            title.stylize_before(QUIET if index else TITLE)
            cell = title if row < 0 else column.cells[row]
            pieces.append(fit(cell, column.width or width - fixed, column.right))
        lines.append(fit(Text(GAP).join(pieces), width))
    return lines


def fit(cell: Text | str, width: int, right: bool = False) -> Text:
    """Fits text into exactly `width` characters; an ellipsis marks what is cut off."""
    text = Text(cell) if isinstance(cell, str) else cell.copy()
    text.truncate(max(width, 0), overflow="ellipsis")
    text.align("right" if right else "left", max(width, 0))
    return text


def ends(left: Text, right: Text, width: int) -> Text:
    """Puts one text at each end of a line; the left one is shortened if need be."""
    room = max(0, width - right.cell_len - len(GAP))
    return fit(fit(left, room).append(GAP).append_text(right), width)
