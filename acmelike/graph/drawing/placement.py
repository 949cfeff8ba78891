"""Places the parts of a picture: callers are on the left, their callees on the right.

Grandalf computes the layers, the order of the shapes in each layer, and their heights.
An arrow leaves its source on one side and enters its target on the opposite side. It
passes a layer in a lane between the shapes and changes its height only between two
layers. So no arrow crosses a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout, VertexViewer

from acmelike.graph.drawing.picture import ARC, Arrow, Picture, Shape, boxes_of

LAYER_GAP, UNIT_GAP, MARGIN = 72.0, 28.0, 20.0
MAX_PORT_GAP = 16.0  # Between the ends of arrows that meet at one side of a shape.
LOOP = 30.0  # The bulge of an arrow from a shape to itself.
HEAD = 9.0  # The length of an arrowhead.


class Point(NamedTuple):
    """A point of the picture, in pixels from the upper left corner."""

    x: float
    y: float


@dataclass(kw_only=True)
class Route:
    """The line of an arrow.

    Attributes:
      arrow: the arrow.
      points: from the caller to the callee; the line is horizontal at each of them.
      bulge: how far the line goes to the right, in pixels, if it ends on the side where
        it began; 0 for other lines.
    """

    arrow: Arrow
    points: list[Point]
    bulge: float = 0.0


@dataclass(kw_only=True)
class Placement:
    """The size of a picture and the lines of its arrows; shapes hold their own places.

    Attributes:
      width: of the picture, in pixels.
      height: of the picture, in pixels.
      routes: one for each arrow.
    """

    width: float
    height: float
    routes: list[Route]


class _Edge(Edge):  # type: ignore[misc]
    """An edge whose hash is its number.

    Grandalf iterates over sets of edges. With the default hash, which is an address,
    the same program could get two different pictures.
    """

    def __hash__(self) -> int:
        return hash(self.data)


class _End(NamedTuple):
    """One end of an arrow.

    Attributes:
      towards: the height that the line goes to from there.
      route: of the arrow.
      where: the points of the route that belong to this end.
    """

    towards: float
    route: Route
    where: slice


class _Column(NamedTuple):
    """The x range of a layer and of the arrowheads on both sides of it.

    In it all arrows are horizontal.
    """

    left: float
    right: float


def place_picture(picture: Picture) -> Placement:
    """Moves every shape to its place, and computes the line of every arrow."""
    unit_of: dict[Shape, Shape] = {
        shape: unit for unit in picture.units for shape in (unit, *boxes_of(unit))
    }
    vertices: dict[Shape, Vertex] = {}
    for unit in picture.units:
        vertices[unit] = Vertex(unit)
        # Grandalf puts layers below each other, so its widths are the heights here.
        vertices[unit].view = VertexViewer(w=unit.height, h=unit.width)
    # Grandalf allows only one edge between two vertices.
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
    return Placement(
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
    """Places connected units below `top`; returns the y of their lower end.

    Args:
      component: the units and edges of one connected part of the picture.
      top: the y of its upper end.
      ranks: gets the layer of each unit.
      lanes: gets, for each edge, the height at which it passes each layer in between.
    """
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
    """The line of an arrow between two units.

    Args:
      arrow: between the units.
      first: the layer of its source.
      last: the layer of its target, which may be to the left.
      lanes: the height at which it passes each layer in between.
      columns: of all layers.
    """
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
    """The line of an arrow inside one unit, which begins and ends on the right side."""
    begin, end = (_middle(s, right=True) for s in (arrow.source, arrow.target))
    rows = abs(end.y - begin.y) / arrow.source.height
    bulge = LOOP if arrow.source is arrow.target else ARC * (1 + rows)
    return Route(arrow=arrow, points=[begin, begin, end, end], bulge=bulge)


def _middle(shape: Shape, *, right: bool) -> Point:
    return Point(shape.x + shape.width * right, shape.y + shape.height / 2)


def _spread_ends(routes: list[Route]) -> None:
    """Moves the ends of arrows apart where several meet in the middle of a side."""
    ends: dict[tuple[Shape, float], list[_End]] = {}
    for route in routes:
        # An end is two points at one height; the third point is where the line goes.
        points = route.points
        begin = _End(points[2].y, route, slice(0, 2))
        ends.setdefault((route.arrow.source, points[0].x), []).append(begin)
        end = _End(points[-3].y, route, slice(-2, None))
        ends.setdefault((route.arrow.target, points[-1].x), []).append(end)
    for (shape, _), together in ends.items():
        gap = min(MAX_PORT_GAP, (shape.height - 8) / len(together))
        together.sort(key=lambda end: end.towards)
        for index, (_, route, where) in enumerate(together):
            shift = gap * (index - (len(together) - 1) / 2)
            route.points[where] = [Point(x, y + shift) for x, y in route.points[where]]
