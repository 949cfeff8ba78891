"""The recurrent Q-network: steps and unrolls agree, and episodes begin anew."""

import jax
import numpy as np

from acmelike.agents.r2d2.networks import NO_ACTION, Memory, RecurrentQNetwork
from acmelike.networks import reset_where

NETWORK = RecurrentQNetwork(num_actions=3, torso_sizes=(5,), num_units=4, dueling=True)
PARAMETERS = jax.device_get(NETWORK.init(jax.random.key(0), (2, 2)))
LENGTH, BATCH = 7, 3
unroll = jax.jit(NETWORK.unroll)


def make_steps(seed=0):
    """Observations, actions, and where episodes begin: elsewhere in each sequence."""
    random = np.random.default_rng(seed)
    observation = random.normal(size=(LENGTH, BATCH, 2, 2)).astype(np.float32)
    action = random.integers(3, size=(LENGTH, BATCH)).astype(np.int32)
    is_first = np.arange(LENGTH)[:, None] == np.array([0, 4, 9])
    return observation, action, is_first


def make_memory():
    random = np.random.default_rng(1)
    hidden, cell = random.normal(size=(2, BATCH, 4)).astype(np.float32)
    return Memory(hidden, cell, np.int32([2, 0, 1]))


def test_an_unroll_is_step_after_step():
    observation, action, is_first = make_steps()
    memory, expected = make_memory(), []
    for o, a, begins in zip(observation, action, is_first, strict=True):
        memory = reset_where(memory, NETWORK.initial(BATCH), begins)
        values, state = NETWORK.step(PARAMETERS, memory, o)
        assert isinstance(values, np.ndarray) and values.dtype == np.float32
        memory = Memory(*state, a)
        expected.append(values)
    found, after = unroll(PARAMETERS, make_memory(), observation, action, is_first)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for x, y in zip(after, memory, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_what_was_before_an_episode_changes_nothing_in_it():
    observation, action, is_first = make_steps()
    other = make_steps(seed=5)
    mixed = [
        np.where(np.arange(LENGTH) < 4, b.T, a.T).T
        for a, b in zip((observation, action), other[:2], strict=True)
    ]
    empty = NETWORK.initial(BATCH)
    one, _ = unroll(PARAMETERS, make_memory(), observation, action, is_first)
    two, _ = unroll(PARAMETERS, empty, *mixed, is_first)
    # The second sequence begins an episode at step 4, the third has none that begins.
    np.testing.assert_array_equal(one[4:, 1], two[4:, 1])
    assert (one[4:, 2] != two[4:, 2]).any(axis=1).all()


def test_values_depend_on_the_last_action_and_on_there_being_none():
    observation = np.ones((4, 2, 2), np.float32)
    memory = NETWORK.initial(4)
    assert (memory.action == NO_ACTION).all()
    memory = memory._replace(action=np.int32([NO_ACTION, 0, 1, 2]))
    values, _ = NETWORK.step(PARAMETERS, memory, observation)
    assert len({tuple(row) for row in values.tolist()}) == 4
