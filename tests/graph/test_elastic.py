"""Groups of which not all nodes run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from acmelike import Node, Program
from acmelike.errors import GraphError
from acmelike.graph.elastic import members


class Service:
    def __init__(self, other=None):
        self.other = other


def make_program(size, num_nodes=4):
    program = Program("shop")
    program.add_node(Node(Service), label="till")
    with program.group("clerk", size=size):
        for _ in range(num_nodes):
            program.add_node(Node(Service))
    return program


@pytest.mark.parametrize("number", [1, 2, 3, 7, 8, 16, 100])
def test_a_larger_size_keeps_the_nodes_of_a_smaller_one(number):
    labels = [str(index) for index in range(number)]
    before = set()
    for size in range(1, number + 1):
        found = members(labels, size)
        assert len(found) == size and before <= set(found)
        assert found == [label for label in labels if label in set(found)]
        before = set(found)


def test_nodes_that_run_are_spread_over_their_group():
    labels = list(range(16))
    assert members(labels, 1) == [0]
    assert members(labels, 2) == [0, 8]
    assert members(labels, 4) == [0, 4, 8, 12]
    for size in range(1, 17):
        found = [*members(labels, size), 16]
        gaps = [after - place for place, after in pairwise(found)]
        assert max(gaps) <= 2 * min(gaps)


def test_a_program_knows_which_nodes_are_absent():
    assert make_program(None).absent == set()
    program = make_program(2)
    assert program.absent == {"clerk/1", "clerk/3"}
    assert program.elastic_groups == {"clerk": [f"clerk/{i}" for i in range(4)]}


@pytest.mark.parametrize("size", [0, 5])
def test_a_size_that_the_group_cannot_have_is_refused(size):
    with pytest.raises(GraphError, match=f"'clerk' can have 1 to 4 nodes, not {size}"):
        make_program(size)


def test_nodes_of_an_elastic_group_have_no_callers_and_no_shared_process():
    program = Program("called")
    with program.group("clerk", size=1):
        clerks = [program.add_node(Node(Service)) for _ in range(2)]
    program.validate()
    program.expose(clerks[1])
    with pytest.raises(GraphError, match=r"'clerk/1' needs .*: it is exposed"):
        program.validate()
    program.add_node(Node(Service, clerks[0]), label="boss")
    with pytest.raises(
        GraphError, match=r"'clerk/0' needs .* no callers: others call it"
    ):
        program.validate()
    program = Program("shared")
    with program.colocate("both"), program.group("clerk", size=1):
        program.add_node(Node(Service))
    with pytest.raises(
        GraphError, match=r"'clerk/0' needs .* process .*: it shares one"
    ):
        program.validate()
