"""Random programs as pictures: nothing overlaps, and no arrow crosses a box."""

import random
from itertools import combinations, pairwise

import pytest

from acmelike import Node, Program
from acmelike.graph.drawing.picture import boxes_of, make_picture
from acmelike.graph.drawing.placement import HEAD, place_picture

NUM_PROGRAMS = 60


def service(*handles):
    return handles


def make_program(seed):
    """A program with cycles, loops, groups and nodes without callers."""
    rng = random.Random(seed)
    program = Program("random")
    labels = [rng.choice(["", "", "a", "b"]) for _ in range(rng.randint(1, 12))]
    promises = [program.promise(service) for _ in labels]
    for index, group in enumerate(labels):
        handles = [rng.choice(promises) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        node = Node(service, *handles)
        if group:
            with program.group(group):
                program.add_node(node, fulfils=promises[index])
        else:
            label = f"node {index}" + "x" * rng.randint(0, 20)
            program.add_node(node, label=label, fulfils=promises[index])
    return program


def curve(route):
    """Points on the way of an arrow, as SVG draws it."""
    for a, b in pairwise(route.points):
        for step in range(21):
            t = step / 20
            rise = 3 * t**2 - 2 * t**3
            x = a.x + (b.x - a.x) * (1.5 * t * (1 - t) + t**3)
            yield x, a.y + (b.y - a.y) * rise


def is_in(shape, x, y):
    across = shape.x + 0.5 < x < shape.x + shape.width - 0.5
    return across and shape.y + 0.5 < y < shape.y + shape.height - 0.5


@pytest.mark.parametrize("seed", range(NUM_PROGRAMS))
def test_nothing_overlaps_and_no_arrow_crosses_a_box(seed):
    program = make_program(seed)
    picture = make_picture(list(program.entries.values()), program.edges())
    placement = place_picture(picture)
    for unit in picture.units:
        assert unit.x >= 0 and unit.x + unit.width <= placement.width
        assert unit.y >= 0 and unit.y + unit.height <= placement.height
        for box in boxes_of(unit):
            assert unit.x <= box.x and box.x + box.width <= unit.x + unit.width
            assert unit.y <= box.y and box.y + box.height <= unit.y + unit.height
    for a, b in combinations(picture.units, 2):
        apart_x = a.x + a.width < b.x - HEAD or b.x + b.width < a.x - HEAD
        apart_y = a.y + a.height < b.y - 8 or b.y + b.height < a.y - 8
        assert apart_x or apart_y
    for route in placement.routes:
        if route.bulge:
            continue
        ends = route.arrow.source, route.arrow.target
        for unit in picture.units:
            # An arrow to a member may cross the frame's border, but no other member.
            inside = set(boxes_of(unit)) & set(ends) and unit not in ends
            shapes = boxes_of(unit) if inside else (unit,)
            for x, y in curve(route):
                assert 0 <= x <= placement.width and 0 <= y <= placement.height
                assert not any(is_in(shape, x, y) for shape in shapes)
