"""What nodes need of their hosts, and how that is changed at launch."""

from __future__ import annotations

import pytest

from acmelike import Node, Program, Resources
from acmelike.errors import ConfigError, GraphError
from acmelike.graph.resources import joined, parse_place


class Service:
    pass


def make_program():
    program = Program("shop")
    program.add_node(Node(Service), label="till")
    with program.group("clerk"):
        for _ in range(2):
            program.add_node(Node(Service), resources=Resources(num_cpus=2))
    return program


def resources_of(program):
    return {entry.label: entry.resources for entry in program.entries.values()}


@pytest.mark.parametrize(
    "values, words",
    [
        ({"num_cpus": 0}, "num_cpus must be finite and above 0: 0"),
        ({"num_gpus": 1.5}, "num_gpus must be a whole number or below 1: 1.5"),
        ({"num_gpus": -1}, "num_gpus must be at least 0: -1"),
        ({"memory_bytes": 0.5}, "memory_bytes must be a whole number: 0.5"),
        ({"place": "packed"}, r"pack, launcher: 'packed'; did you mean 'pack'\?"),
    ],
)
def test_a_value_out_of_range_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        Resources(**values)


def test_a_process_needs_what_its_nodes_need_together():
    first = Resources(num_cpus=0.5, num_gpus=0.5, memory_bytes=10, place="pack")
    second = Resources(num_gpus=0.5, memory_bytes=5, labels={"zone": "a"})
    together = joined([first, second])
    assert together == Resources(
        num_cpus=1.5,
        num_gpus=1,
        memory_bytes=15,
        labels={"zone": "a"},
        place="pack",
    )
    assert together.num_threads == 2
    assert str(together) == ("1.5 cpus, 1 gpu, 1.5e-08 GB of memory, the label zone=a")


@pytest.mark.parametrize(
    "gpus, found", [([None], None), ([None, 0], None), ([None, 1], 1), ([1, 2], 3)]
)
def test_one_gpu_if_there_is_one_gives_way_to_a_number(gpus, found):
    assert joined(Resources(num_gpus=each) for each in gpus).num_gpus == found


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"place": "spread"}, "process 'both': .* are placed 'pack' and 'spread'"),
        ({"labels": {"zone": "b"}}, "process 'both': .* with zone=a and with zone=b"),
    ],
)
def test_nodes_of_a_process_cannot_be_in_two_places(changes, words):
    program = Program("shop")
    with program.colocate("both"):
        needs = Resources(place="pack", labels={"zone": "a"})
        program.add_node(Node(Service), label="one", resources=needs)
        program.add_node(Node(Service), label="two", resources=needs)
    program.validate()
    program.set_resources("two", **changes)
    with pytest.raises(GraphError, match=words):
        program.validate()


def test_resources_are_changed_by_group_and_by_label():
    program = make_program()
    program.set_resources("clerk", num_gpus=0.25)
    program.set_resources("clerk/1", num_cpus=1, place="launcher")
    assert resources_of(program) == {
        "till": Resources(),
        "clerk/0": Resources(num_cpus=2, num_gpus=0.25),
        "clerk/1": Resources(num_gpus=0.25, place="launcher"),
    }


def test_an_unknown_name_is_told_with_the_nearest():
    words = (
        r"no group or node 'clerks'; did you mean 'clerk'\? \(there are: clerk, till\)"
    )
    with pytest.raises(GraphError, match=words):
        make_program().set_resources("clerks", num_cpus=1)


@pytest.mark.parametrize(
    "text, changes",
    [
        ("spread", {"place": "spread"}),
        ("launcher,cpus:2", {"place": "launcher", "num_cpus": 2}),
        ("gpus:0.5,memory:4GB", {"num_gpus": 0.5, "memory_bytes": 4 * 10**9}),
        ("memory:1.5MB", {"memory_bytes": 1_500_000}),
        ("label:zone=a,label:disk=b:c", {"labels": {"zone": "a", "disk": "b:c"}}),
    ],
)
def test_the_flag_says_what_resources_become(text, changes):
    assert parse_place(f"actor={text}") == ("actor", changes)


@pytest.mark.parametrize(
    "text",
    ["", "actor", "actor=", "=spread", "actor=cpus:", "actor=cpus:x", "actor=memory:4"],
)
def test_another_form_of_the_flag_is_refused(text):
    with pytest.raises(ConfigError, match=r"^place .*NAME=spread, pack, launcher"):
        parse_place(text)


def test_a_wrong_word_of_the_flag_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"at 'gpu:1'; did you mean 'gpus'\?"):
        parse_place("actor=spread,gpu:1")
