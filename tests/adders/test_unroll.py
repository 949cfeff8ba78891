"""Unrolls: every step in one of them, whatever episodes they are of."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.replay import Replay, TableConfig


class Script(dm_env.Environment):
    """Observes the time in all; rewards it; episodes of 2 steps, every other truncated.

    Args:
      seed: of which the first observation is made, to tell environments apart.
    """

    def __init__(self, seed):
        self._time, self._num_ended = 100.0 * (seed % 7), 0
        self._in_episode = 0

    def reset(self):
        self._in_episode, self._time = 0, self._time + 1
        return dm_env.restart(np.float32([self._time]))

    def step(self, action):
        self._in_episode, self._time = self._in_episode + 1, self._time + 1
        observation = np.float32([self._time])
        if self._in_episode < 2:
            return dm_env.transition(self._time, observation)
        self._num_ended += 1
        end = dm_env.truncation if self._num_ended % 2 == 0 else dm_env.termination
        return end(self._time, observation)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(10, np.int64)


def collect(num_steps, *, length=4, num_envs=2):
    """What the adder completes in so many steps, in which action and version count."""
    environment = VectorEnvironment(Script, num_envs=num_envs, seed=3)
    adder = UnrollAdder(num_envs=num_envs, length=length, first_extras=["h"])
    step, found = environment.reset(), []
    adder.start(step)
    for t in range(num_steps):
        action = np.full(num_envs, t)
        step = environment.step(action % 10)
        values = np.arange(num_envs) + 10 * t
        extras = {"v": values.astype(np.float32), "h": np.stack([values, values], 1)}
        found.append(adder.add(action, t, step, extras).items)
    return environment.spec, found


def test_steps_observations_and_what_followed():
    _, found = collect(8)
    assert [items is None for items in found] == [True] * 3 + [False] + [True] * 3 + [
        False
    ]
    first, second = found[3], found[7]
    start = first.o_t[:, :1, 0]
    # Observations count on, over the ends of episodes; the last opens the next unroll.
    np.testing.assert_array_equal(first.o_t[..., 0], start + np.arange(5))
    np.testing.assert_array_equal(second.o_t[..., 0], start + np.arange(4, 9))
    np.testing.assert_array_equal(first.a_t, [[0, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(second.version, [[4, 5, 6, 7]] * 2)
    # FIRST, MID, LAST (terminated), FIRST, | MID, LAST (truncated), FIRST, MID | LAST
    np.testing.assert_array_equal(first.is_first, [[1, 0, 0, 1, 0]] * 2)
    np.testing.assert_array_equal(second.is_first, [[0, 0, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(first.mask, [[1, 1, 0, 1]] * 2)
    np.testing.assert_array_equal(second.mask, [[1, 0, 1, 1]] * 2)
    np.testing.assert_array_equal(first.discount_t, [[1, 0, 0, 1]] * 2)
    # The step to a truncated end goes on; the step from there does not.
    np.testing.assert_array_equal(second.discount_t, [[1, 0, 1, 0]] * 2)
    np.testing.assert_array_equal(
        first.r_t, first.o_t[:, 1:, 0] * first.mask, "the reward is the next time"
    )


def test_extras_of_every_step_or_of_the_first():
    _, found = collect(8)
    np.testing.assert_array_equal(
        found[7].extras["v"], [[40, 50, 60, 70], [41, 51, 61, 71]]
    )
    np.testing.assert_array_equal(found[7].extras["h"], [[40, 40], [41, 41]])


def test_what_was_handed_out_is_not_written_to_again():
    _, found = collect(4)
    before = found[3].o_t.copy(), found[3].extras["v"].copy()
    _, found = collect(12)
    np.testing.assert_array_equal(found[3].o_t, before[0])
    np.testing.assert_array_equal(found[3].extras["v"], before[1])


def test_a_table_of_its_signature_takes_them():
    spec, found = collect(4)
    signature = unroll_signature(
        spec,
        4,
        extras={"v": specs.Array((), np.float32)},
        first_extras={"h": specs.Array((2,), np.int64)},
    )
    replay = Replay([TableConfig.queue("unrolls", signature, 8)], seed=0)
    replay.insert("unrolls", found[3])
    sample = replay.sample("unrolls", 2)
    np.testing.assert_array_equal(sample.data.o_t, found[3].o_t)
    np.testing.assert_array_equal(sample.data.extras["h"], found[3].extras["h"])


@pytest.mark.parametrize("name", ["num_envs", "length"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 1"):
        UnrollAdder(**({"num_envs": 1, "length": 1} | {name: 0}))


def test_it_begins_with_start():
    with pytest.raises(RuntimeError, match="before start"):
        UnrollAdder(num_envs=1, length=1).add([0], 0, None)
