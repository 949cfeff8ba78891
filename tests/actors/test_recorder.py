"""What a recorder tells replay of the episodes of its actor."""

import dataclasses
import logging

import numpy as np
import pytest
from dm_env import specs

from acmelike.actors.recorder import Recorder
from acmelike.adders import NStepAdder, transition_signature
from acmelike.replay import Fifo, MinSize, Replay, TableConfig
from tests.adders.steps import FIRST, LAST, MID, first, vector_step
from tests.agents.settings import make_spec

TABLE = TableConfig(
    name="transitions",
    signature=transition_signature(make_spec((1,))),
    max_size=100,
    sampler=Fifo(),
    rate_limiter=MinSize(min_size=1),
)


def recorded(*steps):
    """What replay knows of the episodes of two environments after these steps."""
    replay = Replay([TABLE], seed=0)
    adder = NStepAdder(num_envs=2, n=1, discount=1.0)
    recorder = Recorder(
        adder, TABLE, actions=specs.DiscreteArray(2), num_envs=2, replay=replay
    )
    recorder.start(first(0, 0))
    for kinds, rewards in steps:
        step = vector_step(kinds, rewards, [1, 1], [0, 0])
        recorder.add(np.zeros(2, np.int32), 0, step, {})
    return replay.episodes()


def test_returns_and_lengths_are_of_whole_episodes():
    episodes = recorded(
        ([MID, LAST], [1, 2]),
        ([LAST, FIRST], [3, 0]),
        ([FIRST, MID], [0, 4]),
        ([MID, LAST], [8, 4]),
    )
    assert episodes.num_episodes == 3
    assert episodes.mean_return == np.mean([2, 1 + 3, 4 + 4])
    assert episodes.mean_length == np.mean([1, 2, 2])


def test_an_episode_that_was_dropped_is_counted_apart():
    episodes = recorded(
        ([MID, MID], [1, 2]),
        ([FIRST, MID], [0, 2]),  # The first environment was made again.
        ([MID, MID], [5, 2]),
        ([LAST, MID], [7, 2]),
    )
    assert episodes.num_episodes == 1
    assert (episodes.mean_return, episodes.mean_length) == (12, 2)
    assert episodes.num_dropped_episodes == 1


def test_only_an_episode_that_had_begun_is_dropped():
    episodes = recorded(
        ([FIRST, MID], [0, 1]),  # Made again in its first step.
        ([FIRST, LAST], [0, 1]),  # And once more.
        ([MID, FIRST], [1, 0]),  # The second begins its next episode, as always.
        ([LAST, FIRST], [1, 0]),  # And is made again.
        ([FIRST, LAST], [0, 1]),
    )
    assert (episodes.num_episodes, episodes.num_dropped_episodes) == (3, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_actions_outside_of_their_bounds_are_counted_and_named_once(caplog, dtype):
    caplog.set_level(logging.INFO, "acmelike")
    actions = specs.BoundedArray((2,), dtype, -0.1, [0.1, 5.0])
    table = dataclasses.replace(
        TABLE, signature=transition_signature(make_spec((1,), actions))
    )
    replay = Replay([table], seed=0)
    recorder = Recorder(
        NStepAdder(num_envs=2, n=1, discount=1.0),
        table,
        actions=actions,
        num_envs=2,
        replay=replay,
    )
    recorder.start(first(0, 0))
    # A policy computes in single precision, in which 0.1 is a little larger.
    inside = np.float32([0.1, 5.0]).astype(dtype)
    for kinds, action in [
        ([MID, MID], [inside, inside]),
        ([LAST, MID], [[0.2, 0.0], [0.0, 5.1]]),
        ([FIRST, MID], [[9.0, 9.0], inside]),  # The first of them is ignored.
        ([LAST, LAST], [inside, [-0.2, 9.0]]),
    ]:
        step = vector_step(kinds, [1, 1], [1, 1], [0, 0])
        recorder.add(np.asarray(action, dtype), 0, step, {})
    assert replay.episodes().clipped_fraction == 3 / 7
    (message,) = caplog.messages
    assert "actions outside of their bounds, -0.1" in message
