"""The parts of a program's picture: boxes, frames around groups, and arrows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from acmelike.graph.node import Entry

MAX_MEMBERS = 6  # A group with more members is drawn as one box.
# All sizes are in pixels. The font is the viewer's, so the width of a character is an
# upper estimate.
CHARACTER, LINE, PADDING = 7.6, 17.0, 14.0
GROUP_PADDING, MEMBER_GAP = 16.0, 10.0
ARC = 12.0  # The bulge of an arrow inside a frame, for each member that it passes.


@dataclass(kw_only=True, eq=False)
class Shape:
    """A part of the picture at which arrows begin and end.

    Attributes:
      width: in pixels.
      height: in pixels.
      x: of the left edge; set by the placement.
      y: of the upper edge; set by the placement.
    """

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    def move(self, x: float, y: float) -> None:
        """Moves the upper left corner to this point."""
        self.x, self.y = x, y


@dataclass(kw_only=True, eq=False)
class Box(Shape):
    """One node, or a group with too many members to show each.

    Attributes:
      labels: of the nodes in the box.
      lines: the text; the first line is bold.
      pile: the extra width and height of a group, which looks like a pile of cards; 0
        for a single node.
    """

    labels: tuple[str, ...]
    lines: tuple[str, ...]
    pile: float


@dataclass(kw_only=True, eq=False)
class GroupBox(Shape):
    """A group with its members inside, one below the other.

    Attributes:
      name: of the group.
      members: one box for each node.
    """

    name: str
    members: tuple[Box, ...]

    def move(self, x: float, y: float) -> None:
        for member in self.members:
            member.move(member.x + x - self.x, member.y + y - self.y)
        super().move(x, y)


@dataclass(kw_only=True)
class Arrow:
    """Calls from one shape to another.

    Attributes:
      source: the caller; a group stands for all of its members.
      target: the callee; a group stands for all of its members.
      calls: the edges that the arrow stands for, as (label of caller, label of callee).
      both_ways: whether the target calls the source, too.
    """

    source: Shape
    target: Shape
    calls: list[tuple[str, str]]
    both_ways: bool = False


@dataclass(kw_only=True)
class Picture:
    """The parts of a picture.

    Attributes:
      units: the boxes and frames that the placement moves as a whole.
      outer: arrows between two units.
      inner: arrows inside one unit.
    """

    units: list[Box | GroupBox] = field(default_factory=list)
    outer: list[Arrow] = field(default_factory=list)
    inner: list[Arrow] = field(default_factory=list)


def make_picture(entries: Sequence[Entry], edges: Sequence[tuple[str, str]]) -> Picture:
    """Makes the parts of the picture; the placement then moves them.

    Args:
      entries: the nodes of the program.
      edges: (label of caller, label of callee).
    """
    # The order of the units is that of their first nodes.
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        name = f"group {entry.group}" if entry.group else f"node {entry.label}"
        groups.setdefault(name, []).append(entry)
    picture = Picture(units=[_unit(members, edges) for members in groups.values()])
    unit_of = {
        label: unit
        for unit in picture.units
        for box in boxes_of(unit)
        for label in box.labels
    }
    calls: dict[tuple[Shape, Shape], list[tuple[str, str]]] = {}
    for caller, called in edges:
        units = unit_of[caller], unit_of[called]
        calls.setdefault(units, []).append((caller, called))
    for (source, target), pairs in calls.items():
        arrows = picture.inner if source is target else picture.outer
        arrows += _bundle(source, target, pairs)
    picture.inner = _merge_both_ways(picture.inner)
    picture.outer = _merge_both_ways(picture.outer)
    return picture


def boxes_of(unit: Shape) -> tuple[Box, ...]:
    """The boxes in a frame; of a box, the box itself."""
    if isinstance(unit, GroupBox):
        return unit.members
    assert isinstance(unit, Box)
    return (unit,)


def _unit(members: list[Entry], edges: Iterable[tuple[str, str]]) -> Box | GroupBox:
    if members[0].group is None:
        return _box(members)
    if len(members) > MAX_MEMBERS:
        return _box(members)
    boxes = [_box([member]) for member in members]
    width = max(box.width for box in boxes)
    y = GROUP_PADDING + LINE
    for box in boxes:
        box.x, box.y, box.width = GROUP_PADDING, y, width
        y += box.height + MEMBER_GAP
    labels = {member.label for member in members}
    among_them = any(a in labels and b in labels for a, b in edges)
    name = members[0].group
    return GroupBox(
        name=name,
        members=tuple(boxes),
        width=max(width, CHARACTER * len(name))
        + (2 * GROUP_PADDING)
        + (ARC * len(boxes) if among_them else 0.0),
        height=y - MEMBER_GAP + GROUP_PADDING,
    )


def _box(members: list[Entry]) -> Box:
    labels = tuple(member.label for member in members)
    classes = ", ".join(dict.fromkeys(member.node.name for member in members))
    if len(members) == 1:
        lines = [labels[0], classes]
    else:
        lines = [f"{labels[0]} \u2026 {labels[-1]}", f"{len(members)} \u00d7 {classes}"]
    pile = 6.0 if len(members) > 1 else 0.0
    processes = dict.fromkeys(m.process for m in members if m.process is not None)
    if len(processes) == 1:
        lines.append(f"in process {next(iter(processes))}")
    elif processes:
        lines.append(f"in {len(processes)} processes")
    return Box(
        labels=labels,
        lines=tuple(lines),
        pile=pile,
        width=2 * PADDING + CHARACTER * max(map(len, lines)) + pile,
        height=PADDING + LINE * len(lines) + pile,
    )


def _bundle(
    source: Shape, target: Shape, calls: list[tuple[str, str]]
) -> Iterator[Arrow]:
    """Joins calls of all members of a frame into one arrow; others get one each."""
    callers, called = boxes_of(source), boxes_of(target)
    box_of = {label: box for box in (*callers, *called) for label in box.labels}
    pairs: dict[tuple[Box, Box], list[tuple[str, str]]] = {}
    for call in calls:
        pairs.setdefault((box_of[call[0]], box_of[call[1]]), []).append(call)

    candidates: list[tuple[Shape, Shape]] = [(source, target)]
    if source is not target:
        candidates += [(source, box) for box in called]
        candidates += [(box, target) for box in callers]
    for tail, head in candidates:
        # Members of a frame all call each other even if none calls itself.
        wanted = [
            (a, b)
            for a in boxes_of(tail)
            for b in boxes_of(head)
            if source is not target or a is not b
        ]
        if len(wanted) > 1 and all(pair in pairs for pair in wanted):
            together = [call for pair in wanted for call in pairs.pop(pair)]
            yield Arrow(source=tail, target=head, calls=together)
    for (box, other), single in pairs.items():
        yield Arrow(source=box, target=other, calls=single)


def _merge_both_ways(arrows: list[Arrow]) -> list[Arrow]:
    """Replaces two arrows in opposite directions by one arrow with two heads."""
    found: dict[tuple[Shape, Shape], Arrow] = {}
    for arrow in arrows:
        back = found.get((arrow.target, arrow.source))
        if back is None or arrow.source is arrow.target:
            found[arrow.source, arrow.target] = arrow
        else:
            back.both_ways = True
            back.calls += arrow.calls
    return list(found.values())
