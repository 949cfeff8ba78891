"""The way of an observation to the gradient, as docs/design.md has it, against a look.

Every call is looked at while actors act and a learner learns, all of them plain
objects: the files whose functions are given, or return, arrays of observations.
"""

import functools
import re
import sys
from pathlib import Path

import dm_env
import jax
import numpy as np
import optree
import pytest
from dm_env import specs

from acmelike.actors import Actor
from acmelike.agent import ActorPlace
from acmelike.environments import make_environment_spec
from acmelike.errors import NotReady
from acmelike.learners import Learner
from acmelike.replay import Replay
from tests.agents.contract import AGENTS, NUM_ACTORS, NUM_ENVS, Point

ROOT = Path(__file__).parents[2]
NAMES = [path.parent.name for path in (ROOT / "agents").glob("*/learner.py")]
pytestmark = pytest.mark.usefixtures("compile_quickly")


class Points(Point):
    """Shows seven times where it is, so that no other array has its shape."""

    def observation_spec(self):
        return specs.Array((7,), np.float32)

    def reset(self):
        return dm_env.restart(np.full(7, super().reset().observation, np.float32))

    def step(self, action):
        now = super().step(action)
        return now._replace(observation=np.full(7, now.observation, np.float32))


class Look:
    """Notes the files of ours that an array of observations `[..., *shape]` meets."""

    def __init__(self, shape):
        self.shape, self.files = shape, set()

    def __call__(self, frame, event, result):
        code = frame.f_code
        name = code.co_filename.removeprefix(f"{ROOT}/")
        ours = name.startswith(("acmelike/", "agents/")) and name not in self.files
        if not ours or event not in ("call", "return"):
            return
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals.get(n) for n in taken] if event == "call" else [result]
        if any(map(self._is_observation, optree.tree_leaves(values))):
            self.files.add(name)

    def _is_observation(self, x):
        kinds = (np.ndarray, jax.Array, jax.core.Tracer)
        num = len(self.shape)
        return isinstance(x, kinds) and x.ndim > num and x.shape[-num:] == self.shape


@functools.cache
def files_met(name):
    """By observations of this agent, until it has learned from some."""
    builder = AGENTS[name].builder
    factory = Points if AGENTS[name].factory is Point else AGENTS[name].factory
    spec = make_environment_spec(factory(0))
    table = builder.make_table(spec)
    replay = Replay([table], seed=0)
    learner = Learner(
        builder=builder, spec=spec, replay=replay, table=table.name, seed=0
    )
    actors = [
        Actor(
            builder=builder,
            spec=spec,
            environment_factory=factory,
            place=ActorPlace(index=index, num_actors=NUM_ACTORS, num_envs=NUM_ENVS),
            replay=replay,
            table=table.name,
            learner=learner,
            seed=index,
        )
        for index in range(NUM_ACTORS)
    ]
    look = Look(spec.observations.shape)
    sys.setprofile(look)
    try:
        while learner.progress().num_updates == 0:
            for worker in (*actors, learner):
                try:
                    worker.step()
                except NotReady:
                    continue
    finally:
        sys.setprofile(None)
    return look.files


def described(agent):
    """The files of each step, those that are alternatives, and those named below."""
    text = (ROOT / "docs/design.md").read_text()
    way = text.partition("One observation, ")[2].partition("One parameter, back")[0]
    way, _, others = way.partition("Eight files")
    steps = re.split(r"^\d\. ", way, flags=re.MULTILINE)[1:]
    beside = [re.sub(r"[^()]*(\([^()]*\)|$)", r"\1", step) for step in steps]
    found = [named(re.sub(r"\([^()]*\)", "", step), agent) for step in steps]
    folders = [next(iter(files)).rpartition("/")[0] for files in found]
    aside = [
        named(text, agent, folder) for text, folder in zip(beside, folders, strict=True)
    ]
    return found, set().union(*aside), named(others, agent)


def named(text, agent, folder=""):
    """A name by itself is of a file beside the one before."""
    found = set()
    for name in re.findall(r"`([\w/]+\.py)`", text):
        path = name.replace("agents/dqn", f"agents/{agent}")
        path = path if "/" in name else f"{folder}/{name}"
        assert (ROOT / path).is_file(), f"docs/design.md names {name}"
        folder = path.rpartition("/")[0]
        found.add(path)
    return found


@pytest.mark.parametrize("agent", NAMES)
def test_from_an_observation_to_the_gradient_eight_files_do_something(agent):
    steps, aside, others = described(agent)
    met = files_met(agent)
    assert len(steps) == 8 and steps[-1] == {f"agents/{agent}/losses.py"}
    # What losses are given may be made of observations already.
    assert [len(files & met) for files in steps[:-1]] == [1] * 7
    assert met - set().union(*steps) <= aside | others, "docs/design.md has to name it"


def test_the_others_that_are_named_meet_an_observation_of_some_agent():
    met = set().union(*map(files_met, NAMES))
    others = set().union(*(described(agent)[2] for agent in NAMES))
    # What stands there with central inference only is not looked at.
    assert {path for path in others - met if "/actors/" not in path} == set()
