"""Pictures of programs: what they show, and that they can be read."""

import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from acmelike import Node, Program
from acmelike.errors import GraphError
from acmelike.graph.drawing.picture import MAX_MEMBERS


def service(*handles):
    return handles


def make_program(num_actors):
    program = Program("dqn")
    replay = program.add_node(Node(service), label="replay")
    learner = program.add_node(Node(service, replay), label="learner")
    with program.group("actor"):
        for _ in range(num_actors):
            program.add_node(Node(service, replay, learner))
    return program


def make_ring(size, *, to_all=False):
    """Nodes of one group that call the next, or all others."""
    program = Program("ring")
    nodes = [program.promise(service) for _ in range(size)]
    with program.group("peer"):
        for index, node in enumerate(nodes):
            others = nodes[:index] + nodes[index + 1 :]
            called = others if to_all else [nodes[(index + 1) % size]]
            program.add_node(Node(service, called), fulfils=node)
    return program


def parsed(program):
    return ElementTree.fromstring(program.draw("svg"))


def texts(program):
    return [found.text for found in parsed(program).iter() if is_a(found, "text")]


def arrows(program):
    """The calls that each arrow tells of, and how many heads it has."""
    found = {}
    for group in parsed(program):
        parts = Counter(part.tag.split("}")[1] for part in group)
        if parts["path"]:
            found[group[0].text] = parts["polygon"]
    return found


def is_a(element, kind):
    return element.tag.split("}")[1] == kind


# --- SVG --------------------------------------------------------------------------


def test_nodes_have_labels_and_classes_and_groups_their_names():
    assert sorted(texts(make_program(2))) == sorted(
        ["replay", "learner", "actor", "actor/0", "actor/1", *["service"] * 4]
    )


def test_arrows_of_all_members_are_one():
    assert arrows(make_program(3)) == {
        "learner calls replay": 1,
        "actor/0 calls replay; actor/1 calls replay; actor/2 calls replay": 1,
        "actor/0 calls learner; actor/1 calls learner; actor/2 calls learner": 1,
    }


@pytest.mark.parametrize("num_actors", [1, 2, MAX_MEMBERS, MAX_MEMBERS + 1, 12])
def test_every_call_is_told_once(num_actors):
    program = make_program(num_actors)
    told = [call for arrow in arrows(program) for call in arrow.split("; ")]
    assert sorted(told) == sorted(f"{a} calls {b}" for a, b in program.edges())


def test_a_large_group_is_one_box():
    program = make_program(16)
    assert {"actor/0 \u2026 actor/15", "16 \u00d7 service"} < set(texts(program))
    assert "actor/3" not in texts(program)
    titles = [e.text for e in parsed(program).iter() if is_a(e, "title")]
    assert ", ".join(f"actor/{i}" for i in range(16)) in titles
    (told,) = [title for title in titles if title.endswith("; and 4 more")][:1]
    assert "actor/11 calls" in told and "actor/12 calls" not in told


def test_an_arrow_of_some_members_begins_at_them():
    program = make_program(2)
    clock = program.add_node(Node(service), label="clock")
    with program.group("actor"):
        program.add_node(Node(service, clock), label="slow")
    shown = arrows(program)
    assert shown["actor/slow calls clock"] == 1
    assert shown["actor/0 calls replay"] == shown["actor/1 calls replay"] == 1
    assert texts(program).count("actor") == 1


def test_two_that_call_each_other_have_one_arrow_with_two_heads():
    program = Program("pair")
    other = program.promise(service)
    one = program.add_node(Node(service, other), label="one")
    program.add_node(Node(service, one), label="other", fulfils=other)
    assert arrows(program) == {"one calls other; other calls one": 2}


@pytest.mark.parametrize("size", [3, MAX_MEMBERS])
def test_calls_within_a_group(size):
    ring = [f"peer/{i} calls peer/{(i + 1) % size}" for i in range(size)]
    assert list(arrows(make_ring(size))) == ring
    assert len(arrows(make_ring(size, to_all=True))) == 1
    assert len(arrows(make_ring(size + MAX_MEMBERS))) == 1


def test_a_node_that_calls_itself():
    program = Program("self")
    me = program.promise(service)
    program.add_node(Node(service, me), label="me", fulfils=me)
    assert arrows(program) == {"me calls me": 1}


def test_shared_processes_are_named():
    program = Program("colocated")
    with program.colocate("trainer"):
        program.add_node(Node(service), label="replay")
        with program.group("peer"):
            for _ in range(MAX_MEMBERS + 1):
                program.add_node(Node(service))
    assert texts(program).count("in process trainer") == 2
    with program.group("actor"):
        for index in range(MAX_MEMBERS + 1):
            with program.colocate(f"host {index}"):
                program.add_node(Node(service))
    assert f"in {MAX_MEMBERS + 1} processes" in texts(program)


def test_any_text_is_well_formed():
    program = Program("<&\"'>")
    node = program.add_node(Node(service), label="a <b> & \"c\" 'd' \x00\ud800")
    program.add_node(Node(service, node), label="ü → 球")
    assert "a <b> & \"c\" 'd' \ufffd\ufffd" in texts(program)
    assert "ü → 球" in texts(program)
    assert parsed(program).get("aria-label") == "program <&\"'>"
    program.draw("svg").encode()


def test_an_empty_program_has_a_picture():
    assert list(parsed(Program("empty"))) == []


def test_equal_programs_have_equal_pictures():
    assert make_program(3).draw("svg") == make_program(3).draw("svg")


def test_nothing_is_wider_than_the_box_around_it():
    seen = set()
    for group in parsed(make_program(16)):
        widths = [float(part.get("width")) for part in group if is_a(part, "rect")]
        for part in group:
            if is_a(part, "text"):
                assert 6.5 * len(part.text) < min(widths)
                seen.add(part.text)
    assert {"replay", "learner", "16 \u00d7 service"} < seen


# --- How to get it ----------------------------------------------------------------


def test_draw_has_two_formats():
    program = make_program(1)
    assert program.draw() == program.draw("mermaid") == program.draw(format="mermaid")
    assert program.draw().startswith("flowchart LR\n")
    assert re.match(r'<svg xmlns="[^"]+" viewBox="0 0 \d+ \d+" ', program.draw("svg"))
    with pytest.raises(GraphError, match="'mermaid' or 'svg', not 'png'"):
        program.draw("png")


def test_a_notebook_shows_the_picture_of_a_complete_program():
    program = make_program(1)
    assert program._repr_svg_() == program.draw("svg")
    program.promise(service)
    assert program._repr_svg_() is None
