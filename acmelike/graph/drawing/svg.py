"""Draws a program as SVG that needs no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from acmelike.graph.drawing.picture import (
    GROUP_PADDING,
    LINE,
    Box,
    GroupBox,
    boxes_of,
    make_picture,
)
from acmelike.graph.drawing.placement import (
    HEAD,
    Placement,
    Point,
    Route,
    place_picture,
)
from acmelike.graph.node import Entry

# Pages are light or dark: boxes have a background of their own, and all else is a
# medium grey.
TEXT, FAINT_TEXT, FILL, BORDER = "#1f2933", "#52606d", "#e8eef6", "#7b93b2"
GREY = "#7d8794"
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MAX_CALLS_LISTED = 12  # In the tooltip of one arrow.


def to_svg(
    name: str, entries: Sequence[Entry], edges: Sequence[tuple[str, str]]
) -> str:
    """Draws nodes as boxes, groups as frames around them, and edges as arrows.

    Args:
      name: of the program.
      entries: its nodes.
      edges: (label of caller, label of callee).
    """
    picture = make_picture(entries, edges)
    placement = place_picture(picture)
    lines = [_opening(name, placement)]
    for unit in picture.units:
        if isinstance(unit, GroupBox):
            lines += _group(unit)
    for route in placement.routes:
        lines += _arrow(route)
    for unit in picture.units:
        for box in boxes_of(unit):
            lines += _box(box)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _opening(name: str, placement: Placement) -> str:
    width, height = round(placement.width), round(placement.height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" style="max-width: 100%; height: auto" '
        f'role="img" aria-label={quoteattr(_printable(f"program {name}"))} '
        f'font-family="{FONT}" font-size="13">'
    )


def _group(group: GroupBox) -> Iterator[str]:
    yield (
        f"<rect {_place(group.x, group.y, group.width, group.height)} rx='12' "
        f'fill="{GREY}" fill-opacity="0.12" stroke="{GREY}" stroke-opacity="0.6"/>'
    )
    x, y = group.x + GROUP_PADDING, group.y + LINE + 4
    yield _text(group.name, x, y, f'fill="{GREY}" font-weight="600"')


def _box(box: Box) -> Iterator[str]:
    yield f"<g>{_title(', '.join(box.labels))}"
    # A group in one box looks like a pile of cards.
    width, height = box.width - box.pile, box.height - box.pile
    for shift in (box.pile, box.pile / 2, 0.0) if box.pile else (0.0,):
        yield (
            f"<rect {_place(box.x + shift, box.y + shift, width, height)} "
            f'rx="8" fill="{FILL}" stroke="{BORDER}"/>'
        )
    x, y = box.x + width / 2, box.y + (height - LINE * len(box.lines)) / 2 + 13
    for number, line in enumerate(box.lines):
        style = f'fill="{FAINT_TEXT}" font-size="12"'
        if number == 0:
            style = f'fill="{TEXT}" font-weight="700"'
        yield _text(line, x, y + LINE * number, f'text-anchor="middle" {style}')
    yield "</g>"


def _arrow(route: Route) -> Iterator[str]:
    calls = [f"{caller} calls {called}" for caller, called in route.arrow.calls]
    if len(calls) > MAX_CALLS_LISTED:
        calls[MAX_CALLS_LISTED:] = [f"and {len(calls) - MAX_CALLS_LISTED} more"]
    begin, *between, end = route.points
    # +1 if the line enters its target to the right, -1 if to the left. A line with a
    # bulge ends on the side where it began, and so enters to the left.
    way = 1 if end.x > begin.x else -1
    heads = [_head(end, way)]
    end = end._replace(x=end.x - way * HEAD)
    if route.arrow.both_ways:
        back = -1 if route.bulge else -way
        heads.append(_head(begin, back))
        begin = begin._replace(x=begin.x - back * HEAD)
    line = f"M{begin.x:.1f} {begin.y:.1f}"
    if route.bulge:
        # A Bezier curve goes three quarters of the way to its control points.
        x = begin.x + route.bulge * 4 / 3
        line += _curve(Point(x, begin.y), Point(x, end.y), end)
    else:
        for a, b in pairwise([begin, *between, end]):
            x = (a.x + b.x) / 2
            if a.y == b.y:
                line += f"H{b.x:.1f}"
            else:
                line += _curve(a._replace(x=x), b._replace(x=x), b)
    yield f"<g>{_title('; '.join(calls))}"
    yield f'<path d="{line}" fill="none" stroke="{GREY}" stroke-width="1.6"/>'
    yield from heads
    yield "</g>"


def _head(tip: Point, way: int) -> str:
    base = tip.x - way * HEAD
    corners = (
        f"{tip.x:.1f},{tip.y:.1f} {base:.1f},{tip.y - 4:.1f} {base:.1f},{tip.y + 4:.1f}"
    )
    return f'<polygon points="{corners}" fill="{GREY}"/>'


def _curve(*points: Point) -> str:
    return "C" + " ".join(f"{point.x:.1f} {point.y:.1f}" for point in points)


def _place(x: float, y: float, width: float, height: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'


def _text(text: str, x: float, y: float, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(_printable(text))}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(_printable(text))}</title>"


def _printable(text: str) -> str:
    """Replaces characters that XML cannot hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
