"""Episodes against one environment at a time, through a real table."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from acmelike.adders import Adder, EpisodeAdder
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from tests.adders.test_sequence import (
    Lengths,
    collect_with,
    episode_steps,
    num_observations,
    windows,
)


def collect(lengths, num_steps, max_length):
    adder = EpisodeAdder(num_envs=len(lengths), max_length=max_length)
    return collect_with(adder, max_length, lengths, num_steps)


def expected(episode, num_steps, max_length):
    """The episodes of one environment that have ended, from the definition."""
    steps = list(itertools.islice(episode_steps(episode), num_steps))
    size = episode + 1
    padding = [(0, 0, False)] * (max_length - size)
    return [
        steps[begin : begin + size] + padding
        for begin in range(0, num_steps - size + 1, size)
    ]


@pytest.mark.parametrize("episode", [1, 2, 4, 5])
def test_episodes_of_one_environment(episode):
    # The longest has as many steps as there may be.
    _, sample, _ = collect([episode], 30, max_length=6)
    assert windows(sample) == expected(episode, 30, max_length=6)
    assert sample.mask.sum(axis=1).tolist() == [episode] * (30 // (episode + 1))


def test_an_episode_is_an_item_as_soon_as_the_next_begins():
    made, _, _ = collect([3, 1], 9, max_length=4)
    # By the first environment after 4 and 8 steps, by the second after 2, 4, 6, 8.
    assert made == [0, 1, 1, 3, 3, 4, 4, 6, 6]


def test_episodes_have_first_extras_and_first_priorities():
    adder = EpisodeAdder(
        num_envs=1,
        max_length=4,
        first_extras=["state"],
        initial_priority=lambda episodes: episodes.mask.sum(axis=1),
    )
    environment = VectorEnvironment(Lengths(3), num_envs=1, seed=0)
    adder.start(environment.reset())
    for n in range(4):
        added = adder.add([0], 0, environment.step([0]), {"state": np.array([n])})
    assert added.priorities.tolist() == [3]
    assert added.items.extras["state"].shape == (1,)
    assert added.items.extras["state"][0] == added.items.o_t[0, 0]


def test_environments_side_by_side_do_as_each_alone():
    _, together, _ = collect([3, 5, 2], 25, max_length=6)
    alone = [windows(collect([n], 25, max_length=6)[1]) for n in (3, 5, 2)]
    assert sorted(windows(together)) == sorted(itertools.chain(*alone))


def test_an_item_has_what_was_done_and_what_followed():
    _, sample, _ = collect([2], 6, max_length=5)
    assert sample.a_t.tolist() == [[0, 1, 0, 0, 0], [3, 4, 0, 0, 0]]
    assert sample.r_t.tolist() == [[0, 1, 0, 0, 0], [3, 4, 0, 0, 0]]
    assert sample.discount_t.tolist() == [[1, 0, 0, 0, 0]] * 2
    assert sample.version.tolist() == [[100, 101, 102, 0, 0], [103, 104, 105, 0, 0]]
    assert sample.extras["log_prob"].tolist() == [[0, -1, -2, 0, 0], [-3, -4, -5, 0, 0]]


@pytest.mark.parametrize("max_length", [6, 600])
def test_padding_is_not_stored(max_length):
    # Ten episodes of one environment and twenty of the other; then both begin one.
    made, _, replay = collect([5, 2], 60, max_length=max_length)
    assert made[-1] == 30
    assert num_observations(replay) == 2 * 60
    replay.reset("sequences")
    assert num_observations(replay) == 0


def test_a_new_start_forgets_what_was_there():
    adder: Adder = EpisodeAdder(num_envs=1, max_length=4)
    environment = VectorEnvironment(Lengths(2), num_envs=1, seed=0)
    adder.start(environment.reset())
    assert adder.add([0], 0, environment.step([0])).items is None
    adder.start(environment.reset())
    for _ in range(2):
        assert adder.add([0], 0, environment.step([0])).items is None
    added = adder.add([0], 0, environment.step([0]))
    assert added.items.o_t.tolist() == [[1, 2, 3, -1]]


def test_an_episode_that_is_too_long_is_named():
    message = "environment 1 has more steps than max_length = 5; raise it"
    with pytest.raises(ValueError, match=message):
        collect([4, 5], 10, max_length=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, not 0"),
        ({"max_length": 1}, "max_length must be at least 2.* not 1"),
    ],
)
def test_mistakes_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        EpisodeAdder(**({"num_envs": 1, "max_length": 4} | changes))


def test_there_is_a_start_first():
    adder = EpisodeAdder(num_envs=1, max_length=2)
    environment = VectorEnvironment(Lengths(9), num_envs=1, seed=0)
    with pytest.raises(RuntimeError, match="before start"):
        adder.add(np.array([0]), 0, environment.reset())
