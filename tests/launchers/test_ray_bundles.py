"""What the launcher `ray` asks Ray for, without Ray."""

from __future__ import annotations

import importlib.util

import pytest

from acmelike import Node, Program, RayConfig, Resources, launch
from acmelike.errors import ConfigError
from acmelike.launchers.nodes import processes_of
from acmelike.launchers.ray.launcher import make_bundles


class Service:
    pass


def make_program():
    program = Program("bundles")
    for label in ("replay", "learner"):
        program.add_node(Node(Service), label=label)
    with program.group("actor"):
        for _ in range(2):
            program.add_node(Node(Service), resources=Resources(num_cpus=0.5))
    launcher = Resources(place="launcher")
    program.add_node(Node(Service), label="coordinator", resources=launcher)
    return program


def bundles(program, num_gpus=0.0):
    made = make_bundles(processes_of(program.entries), num_gpus)
    return {bundle.name: (bundle.resources, bundle.is_spread) for bundle in made}


def test_groups_are_spread_and_other_nodes_are_packed():
    actor = Resources(num_cpus=0.5, place="spread")
    assert bundles(make_program()) == {
        "replay": (Resources(), False),
        "learner": (Resources(), False),
        "actor/0": (actor, True),
        "actor/1": (actor, True),
    }


def test_a_group_may_be_packed():
    program = make_program()
    program.set_resources("actor", place="pack")
    assert not any(is_spread for _, is_spread in bundles(program).values())


@pytest.mark.parametrize(
    "num_gpus, learner, replay", [(0, 0, 0), (1, 0, 1), (1.5, 0, 1), (2, 1, 1)]
)
def test_one_gpu_if_there_is_one(num_gpus, learner, replay):
    program = make_program()
    program.set_resources("replay", num_gpus=None)
    program.set_resources("learner", num_gpus=None)
    found = bundles(program, num_gpus)
    has_gpu = {name for name, (resources, _) in found.items() if resources.num_gpus}
    expected = {"learner"} if learner else set()
    assert has_gpu == expected | ({"replay"} if replay else set())


def test_processes_of_several_nodes_are_whole():
    program = Program("shared")
    with program.colocate("both"):
        program.add_node(Node(Service), label="one", resources=Resources(num_gpus=0.5))
        program.add_node(Node(Service), label="two", resources=Resources(num_gpus=0.5))
    assert bundles(program) == {"both": (Resources(num_cpus=2, num_gpus=1), False)}


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'acmelike\[ray\]'"):
        launch(make_program(), "ray")


def test_its_settings_are_for_it_alone():
    with pytest.raises(
        ConfigError, match="ray= is for the launcher 'ray', not 'serial'"
    ):
        launch(make_program(), "serial", ray=RayConfig())
    with pytest.raises(ConfigError, match="place_seconds must be finite and above 0"):
        RayConfig(place_seconds=0)
