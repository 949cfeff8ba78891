"""What a recorder tells replay of the episodes of its actor."""

import numpy as np

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
    recorder = Recorder(adder, TABLE, num_envs=2, replay=replay)
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


def test_an_episode_that_was_dropped_counts_for_nothing():
    episodes = recorded(
        ([MID, MID], [1, 2]),
        ([FIRST, MID], [0, 2]),  # The first environment was made again.
        ([MID, MID], [5, 2]),
        ([LAST, MID], [7, 2]),
    )
    assert episodes.num_episodes == 1
    assert (episodes.mean_return, episodes.mean_length) == (12, 2)
