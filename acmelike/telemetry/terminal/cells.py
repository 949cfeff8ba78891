"""Numbers and bars as the live table writes them, and columns of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

# Colours in the middle between black and white are readable on both.
TITLE, QUIET, BAD = "bold", "color(245)", "color(167)"
BUSY, WAITING = "color(67)", "color(137)"
GAP = "  "


def rate(value: float) -> str:
    """A number of things per second."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def count(number: int) -> str:
    """A number of things."""
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.2f} M"


def size(num_bytes: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.{0 if unit == 'B' or num_bytes >= 10 else 1}f} {unit}"
        num_bytes /= 1e3
    return f"{num_bytes:.1f} GB"


def duration(seconds: float) -> str:
    """A short time with its unit."""
    for unit, number in (("µs", seconds * 1e6), ("ms", seconds * 1e3)):
        if number < 999.5:
            return f"{number:.{0 if number >= 10 else 1}f} {unit}"
    return f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A long time as 3:07 or 1:03:07."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def several(name: str, number: int) -> str:
    """A name with how many there are of it, if there are several."""
    return name if number == 1 else f"{name} x{number}"


def bar(width: int, *parts: tuple[float, str]) -> Text:
    """Shares of one, each in its style, and the rest of `width` quiet."""
    text, end, total = Text(), 0, 0.0
    for share, style in parts:
        total += share
        stop = min(width, round(total * width))
        text.append("━" * (stop - end), style)
        end = max(end, stop)
    return text.append("─" * (width - end), QUIET)


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: above it.
      cells: one for each row.
      width: in characters; 0 for all that the others leave.
      right: whether to align it to the right.
    """

    title: Text | str
    cells: Sequence[Text | str]
    width: int = 0
    right: bool = False


def table(columns: Sequence[Column], width: int) -> list[Text]:
    """The lines of a table, its titles first, each of exactly `width` characters."""
    fixed = sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)
    lines = []
    for row in range(-1, len(columns[0].cells)):
        pieces = []
        for index, column in enumerate(columns):
            # What a section is called stands out from what its columns are.
            title = fit(column.title, column.width or width - fixed, column.right)
            title.stylize_before(QUIET if index else TITLE)
            cell = title if row < 0 else column.cells[row]
            pieces.append(fit(cell, column.width or width - fixed, column.right))
        lines.append(fit(Text(GAP).join(pieces), width))
    return lines


def fit(cell: Text | str, width: int, right: bool = False) -> Text:
    """A cell of exactly `width` characters, cut short with an ellipsis if need be."""
    text = Text(cell) if isinstance(cell, str) else cell.copy()
    text.truncate(max(width, 0), overflow="ellipsis")
    text.align("right" if right else "left", max(width, 0))
    return text


def ends(left: Text, right: Text, width: int) -> Text:
    """One text at either end of a line; the left one gives way."""
    room = max(0, width - right.cell_len - len(GAP))
    return fit(fit(left, room).append(GAP).append_text(right), width)
