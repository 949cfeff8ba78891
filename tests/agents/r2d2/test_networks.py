"""The recurrent Q-network: steps and unrolls agree, and episodes start fresh."""

import jax
import numpy as np
from dm_env import specs

from acmelike.agents.parts.recurrent import unroll
from acmelike.agents.r2d2 import R2D2Config
from acmelike.agents.r2d2.agent import NO_ACTION
from acmelike.agents.r2d2.learner import R2D2
from acmelike.networks import LSTMState, lstm_state, reset_where
from tests.agents.compiled import first_parameters
from tests.agents.settings import make_spec

AGENT = R2D2(
    R2D2Config(hidden_sizes=(5,), lstm_size=4),
    make_spec((2, 2), actions=specs.DiscreteArray(3)),
)
NETWORK = AGENT.network
PARAMETERS = first_parameters(AGENT)
LENGTH, BATCH = 7, 3
unrolled = jax.jit(lambda *inputs: unroll(NETWORK, PARAMETERS, *inputs))
step = jax.jit(lambda *inputs: NETWORK.apply(PARAMETERS, *inputs))


def make_steps(seed=0):
    """Observations, last actions, and where episodes start: elsewhere in each."""
    random = np.random.default_rng(seed)
    observation = random.normal(size=(LENGTH, BATCH, 2, 2)).astype(np.float32)
    action = random.integers(3, size=(LENGTH, BATCH)).astype(np.int32)
    is_first = np.arange(LENGTH)[:, None] == np.array([0, 4, 9])
    return observation, is_first, np.where(is_first, NO_ACTION, action)


def make_state():
    hidden, cell = np.random.default_rng(1).normal(size=(2, BATCH, 4))
    return LSTMState(hidden.astype(np.float32), cell.astype(np.float32))


def test_an_unroll_is_step_after_step():
    observation, is_first, last_action = make_steps()
    state, expected = make_state(), []
    for o, resets, a in zip(observation, is_first, last_action, strict=True):
        state = reset_where(state, lstm_state(BATCH, 4), resets)
        values, state = step(state, o, a)
        assert values.dtype == np.float32
        expected.append(values)
    found, after = unrolled(make_state(), observation, is_first, last_action)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for x, y in zip(after, state, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_what_was_before_an_episode_changes_nothing_in_it():
    observation, is_first, last_action = make_steps()
    other, _, other_action = make_steps(seed=5)
    mixed = [
        np.where(np.arange(LENGTH) < 4, b.T, a.T).T
        for a, b in ((observation, other), (last_action, other_action))
    ]
    one, _ = unrolled(make_state(), observation, is_first, last_action)
    two, _ = unrolled(lstm_state(BATCH, 4), mixed[0], is_first, mixed[1])
    # The second sequence begins an episode at step 4, the third has none that begins.
    np.testing.assert_array_equal(one[4:, 1], two[4:, 1])
    assert (one[4:, 2] != two[4:, 2]).any(axis=1).all()


def test_values_depend_on_the_last_action_and_on_there_being_none():
    observation = np.ones((4, 2, 2), np.float32)
    action = np.int32([NO_ACTION, 0, 1, 2])
    values, _ = step(lstm_state(4, 4), observation, action)
    assert len({tuple(row) for row in values.tolist()}) == 4
