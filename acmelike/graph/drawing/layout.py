"""Where the parts of a picture go: callers on the left, the called on the right.

Grandalf finds the layers, the order within them and the heights. An arrow leaves one
shape on one side and enters the other on its other side. It passes layers in lanes
between their shapes and changes height only between layers, so it crosses no shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout, VertexViewer

from acmelike.graph.drawing.picture import ARC, Arrow, Picture, Shape, boxes_of

LAYER_GAP, UNIT_GAP, MARGIN = 72.0, 28.0, 20.0
LARGEST_PORT_GAP = 16.0
LOOP = 30.0
HEAD = 9.0  # The length of an arrowhead.


class Point(NamedTuple):
    """A place on the picture, in pixels from the upper left corner."""

    x: float
    y: float


@dataclass(kw_only=True)
class Route:
    """The way of an arrow.

    Attributes:
      arrow: whose way it is.
      points: from the caller to the called; the arrow is horizontal at each.
      bulge: how far to the right an arrow goes that comes back to the side where it
        began; 0 for all others.
    """

    arrow: Arrow
    points: list[Point]
    bulge: float = 0.0


@dataclass(kw_only=True)
class Layout:
    """What is known when every part of a picture has its place.

    Attributes:
      width: of the whole, in pixels.
      height: of the whole, in pixels.
      routes: of all arrows.
    """

    width: float
    height: float
    routes: list[Route]


class _Edge(Edge):  # type: ignore[misc]
    """Grandalf goes through a set of edges; their numbers make it one order."""

    def __hash__(self) -> int:
        return hash(self.data)


class _End(NamedTuple):
    """One end of an arrow: the height that it goes to, and its points."""

    towards: float
    route: Route
    where: slice


class _Column(NamedTuple):
    """Where arrows are horizontal: a layer, and the arrowheads on both sides of it."""

    left: float
    right: float


def lay_out(picture: Picture) -> Layout:
    """Gives every shape of the picture its place, and every arrow its way."""
    unit_of: dict[Shape, Shape] = {
        shape: unit for unit in picture.units for shape in (unit, *boxes_of(unit))
    }
    vertices: dict[Shape, Vertex] = {}
    for unit in picture.units:
        vertices[unit] = Vertex(unit)
        # Grandalf's layers are below each other, so its widths are our heights.
        vertices[unit].view = VertexViewer(w=unit.height, h=unit.width)
    # Grandalf wants one edge at most between two vertices.
    edges: dict[frozenset[Shape], _Edge] = {}
    for arrow in picture.outer:
        source, target = unit_of[arrow.source], unit_of[arrow.target]
        edges.setdefault(
            frozenset([source, target]),
            _Edge(vertices[source], vertices[target], data=len(edges)),
        )

    ranks: dict[Shape, int] = {}
    lanes: dict[Edge, dict[int, float]] = {}
    bottom = MARGIN - UNIT_GAP
    for component in Graph(list(vertices.values()), list(edges.values())).C:
        bottom = _place(component, bottom + UNIT_GAP, ranks, lanes)
    columns = _columns(ranks)
    for unit in picture.units:
        unit.move(sum(columns[ranks[unit]]) / 2 - unit.width / 2, unit.y)

    routes = []
    for arrow in picture.outer:
        source, target = unit_of[arrow.source], unit_of[arrow.target]
        passed = lanes[edges[frozenset([source, target])]]
        routes.append(_route(arrow, ranks[source], ranks[target], passed, columns))
    routes += [_arc(arrow) for arrow in picture.inner]
    _spread_ends(routes)
    rightmost = [unit.x + unit.width for unit in picture.units]
    rightmost += [route.points[0].x + route.bulge for route in routes]
    return Layout(
        width=max(rightmost, default=0.0) + MARGIN,
        height=max(bottom, 0.0) + MARGIN,
        routes=routes,
    )


def _place(
    component: Graph,
    top: float,
    ranks: dict[Shape, int],
    lanes: dict[Edge, dict[int, float]],
) -> float:
    """Finds ranks and heights of units that hang together; returns where they end."""
    sugiyama = SugiyamaLayout(component)
    sugiyama.xspace, sugiyama.dw, sugiyama.dh = UNIT_GAP, 0.0, 0.0
    sugiyama.init_all(optimize=True)
    sugiyama.draw(10)
    views = [vertex.view for layer in sugiyama.layers for vertex in layer]
    shift = top - min(view.xy[0] - view.w / 2 for view in views)
    for vertex in component.V():
        unit = vertex.data
        ranks[unit] = sugiyama.grx[vertex].rank
        unit.move(unit.x, vertex.view.xy[0] + shift - unit.height / 2)
    for edge in component.E():
        passed = sugiyama.ctrls.get(edge, {})
        lanes[edge] = {r: vertex.view.xy[0] + shift for r, vertex in passed.items()}
    bottom: float = max(view.xy[0] + view.w / 2 for view in views) + shift
    return bottom


def _columns(ranks: dict[Shape, int]) -> list[_Column]:
    columns, left = [], MARGIN
    for rank in range(max(ranks.values(), default=-1) + 1):
        width = max(unit.width for unit, own in ranks.items() if own == rank)
        columns.append(_Column(left - HEAD, left + width + HEAD))
        left += width + LAYER_GAP
    return columns


def _route(
    arrow: Arrow,
    first: int,
    last: int,
    lanes: dict[int, float],
    columns: list[_Column],
) -> Route:
    """From layer `first` to layer `last`, which may be to the left of it."""
    source, target = arrow.source, arrow.target
    step = 1 if first < last else -1
    begin, end = _middle(source, right=step > 0), _middle(target, right=step < 0)
    points = [begin, Point(columns[first][step > 0], begin.y)]
    for rank in range(first + step, last, step):
        sides = columns[rank][::step]
        points += [Point(x, lanes[rank]) for x in sides]
    points += [Point(columns[last][step < 0], end.y), end]
    return Route(arrow=arrow, points=points)


def _arc(arrow: Arrow) -> Route:
    """From the right side of a shape to that of itself or of another in its frame."""
    begin, end = (_middle(s, right=True) for s in (arrow.source, arrow.target))
    rows = abs(end.y - begin.y) / arrow.source.height
    bulge = LOOP if arrow.source is arrow.target else ARC * (1 + rows)
    return Route(arrow=arrow, points=[begin, begin, end, end], bulge=bulge)


def _middle(shape: Shape, *, right: bool) -> Point:
    return Point(shape.x + shape.width * right, shape.y + shape.height / 2)


def _spread_ends(routes: list[Route]) -> None:
    """Moves the ends of arrows apart that meet in the middle of a side."""
    ends: dict[tuple[Shape, float], list[_End]] = {}
    for route in routes:
        # An end is two points of one height; the third says where the arrow goes.
        points = route.points
        begin = _End(points[2].y, route, slice(0, 2))
        ends.setdefault((route.arrow.source, points[0].x), []).append(begin)
        end = _End(points[-3].y, route, slice(-2, None))
        ends.setdefault((route.arrow.target, points[-1].x), []).append(end)
    for (shape, _), together in ends.items():
        gap = min(LARGEST_PORT_GAP, (shape.height - 8) / len(together))
        together.sort(key=lambda end: end.towards)
        for index, (_, route, where) in enumerate(together):
            shift = gap * (index - (len(together) - 1) / 2)
            route.points[where] = [Point(x, y + shift) for x, y in route.points[where]]
