"""Sequences as an actor of the agent writes them and a learner gets them."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from acmelike.actors.inference import Inference
from acmelike.adders import Sequence
from acmelike.agent import ActorPlace
from acmelike.environments import CatchFactory, VectorEnvironment
from acmelike.policies import make_portable
from acmelike.replay import Items, Replay, Writer


class Collected(NamedTuple):
    """What one environment gave.

    Attributes:
      sequences: `[N, ...]`; the version of a step is its number.
      core: of the learner.
      state: of training, with whose parameters the steps were chosen.
      extras: by step, what the policy said.
    """

    sequences: Sequence
    core: Any
    state: Any
    extras: list[Any]


@pytest.fixture
def collect():
    return _collect


def _collect(builder, num_steps):
    """Plays Catch for so many steps, and samples 64 sequences."""
    environment = VectorEnvironment(CatchFactory(), num_envs=1, seed=0)
    spec = environment.spec
    core = builder.make_agent(spec)
    state = jax.jit(core.init)(jax.random.key(0))
    place = ActorPlace(index=0, num_actors=1, num_envs=1)
    parameters = jax.device_get(core.parameters(state))
    policy = make_portable(builder, spec, parameters)
    inputs = builder.make_policy_inputs(spec, place)
    inference = Inference(policy, inputs, spec, num_envs=1, seed=0)
    inference.set_parameters(parameters)
    table = builder.make_table(spec)
    replay, adder = Replay([table], seed=0), builder.make_adder(1)
    writer = Writer(replay)
    step = environment.reset()
    adder.start(step)
    said = []
    for number in range(num_steps):
        action, extras = inference.act(step)
        said.append(extras)
        step = environment.step(action)
        added = adder.add(action, number, step, extras)
        writer.write(
            [] if added.items is None else [Items(table.name, added.items)],
            steps=added.steps,
            keep_from=added.keep_from,
        )
    sample = replay.sample(table.name, 64)
    return Collected(jax.tree.map(np.asarray, sample.data), core, state, said)
