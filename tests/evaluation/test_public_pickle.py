"""Pickles that name acmelike's classes by public names, so that files may move."""

import dataclasses
import importlib
import pickle
import pickletools
import sys
import types

import numpy as np
import pytest

import acmelike as al
from acmelike.agents import dqn
from acmelike.environments import CatchFactory, FrameStackFactory, make_environment_spec
from acmelike.evaluation import public_pickle
from acmelike.evaluation.public_pickle import dumps, loads, public_name
from acmelike.networks import Moments
from tests.agents.contract import AGENTS

FACTORIES = [
    CatchFactory(rows=5),
    FrameStackFactory(inner=CatchFactory(), num_frames=2),
    *map(al.make_environment_factory, ("CartPole-v1", "vec:CartPole-v1")),
    al.make_environment_factory("CartPole-v1-positions"),
]


def strings(pickled):
    return {arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str)}


def test_a_class_stands_under_its_highest_public_name():
    assert public_name(al.EnvironmentSpec) == "acmelike:EnvironmentSpec"
    assert public_name(dqn.DQNConfig) == "acmelike.agents.dqn:DQNConfig"
    assert public_name(CatchFactory) == "acmelike.environments:CatchFactory"
    assert (
        public_name(al.make_environment_factory) == "acmelike:make_environment_factory"
    )
    assert public_name(Moments) == "acmelike.networks:Moments"


@pytest.mark.parametrize("value", FACTORIES, ids=repr)
def test_values_come_back_and_no_file_is_named(value):
    pickled = dumps(value)
    assert loads(pickled) == value
    files = {value.__class__.__module__, "acmelike.environments.registry"}
    named = {text.partition(":")[0] for text in strings(pickled)}
    assert not named & files


# All but the agent of the tests, which is stored by the file that it is in.
@pytest.mark.parametrize("name", [name for name in AGENTS if name != "reinforce"])
def test_what_policies_of_every_agent_store_is_named_by_packages(name):
    """Only a file may move without a line in `RENAMED`, so no file may be named."""
    agent = AGENTS[name]
    spec = make_environment_spec(agent.factory(seed=0))
    pickled = dumps((agent.builder, spec, agent.factory))
    named = {text for text in strings(pickled) if text.startswith("acmelike")}
    assert named
    for text in named:
        module = importlib.import_module(text.partition(":")[0])
        assert hasattr(module, "__path__"), f"{text} names a file"
    assert loads(pickled)[0] == agent.builder


@pytest.fixture
def moved(monkeypatch):
    """A package of acmelike whose class is defined in a file that will be moved."""
    package = types.ModuleType("acmelike.moving")
    package.__path__ = []
    file = types.ModuleType("acmelike.moving.old_file")
    exec("class Thing:\n    size = 3\n", vars(file))
    package.Thing = file.Thing
    for module in (package, file):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    thing = file.Thing()
    thing.size = 5
    pickled = dumps(thing)

    def move(name):
        """The file has gone; another one has the class, as the package's `name`."""
        monkeypatch.delitem(sys.modules, file.__name__)
        file.Thing.__module__ = "acmelike.moving.new_file"
        del package.Thing
        setattr(package, name, file.Thing)

    return pickled, move


def test_a_file_may_move(moved):
    pickled, move = moved
    move("Thing")
    assert loads(pickled).size == 5


def test_a_class_may_be_renamed_with_a_line_in_the_table(moved, monkeypatch):
    pickled, move = moved
    move("Renamed")
    with pytest.raises(AttributeError, match="Thing"):
        loads(pickled)
    table = {"acmelike.moving:Thing": "acmelike.moving:Renamed"}
    monkeypatch.setattr(public_pickle, "RENAMED", table)
    assert loads(pickled).size == 5


def test_the_names_in_the_table_are_those_of_today():
    for name in ("acmelike:EnvironmentSpec", *public_pickle.RENAMED.values()):
        assert public_name(public_pickle._resolve(name)) == name


def test_classes_of_others_are_named_as_ever():
    value = (np.float32(1), dataclasses.Field, np.arange(3))
    assert loads(dumps(value))[0] == 1
    assert pickle.loads(dumps(value))[1] is dataclasses.Field


def test_a_class_that_a_function_made_goes_along():
    def make():
        class Local(CatchFactory):
            pass

        return Local(rows=7)

    value = make()
    value.__class__.__module__ = "acmelike.somewhere"
    with pytest.raises(ModuleNotFoundError):
        public_name(type(value))
    value.__class__.__module__ = "acmelike.environments"
    assert public_name(type(value)) is None
    assert loads(dumps(value)).rows == 7
