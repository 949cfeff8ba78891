"""Acting: who explores how much, and that it does."""

import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agent import ActorPlace
from acmelike.agents.dqn import DQNConfig
from acmelike.agents.dqn.learner import DQN
from acmelike.agents.parts.epsilon_greedy import epsilon_inputs, epsilon_ladder
from tests.agents.compiled import first_parameters
from tests.agents.settings import make_spec

AGENT = DQN(DQNConfig(hidden_sizes=(8,)), make_spec(actions=specs.DiscreteArray(4)))
OBSERVATIONS = np.random.default_rng(0).normal(size=(2_000, 3)).astype(np.float32)
PARAMETERS = first_parameters(AGENT)
ACT = jax.jit(AGENT.act)


def act(epsilons, num_envs=2_000, seed=2):
    inputs = epsilon_inputs(epsilons)
    state = inputs.init(num_envs)
    noise = inputs.noise(np.random.default_rng(seed), num_envs)
    action, next_state, extras = ACT(PARAMETERS, state, OBSERVATIONS[:num_envs], noise)
    assert not extras
    assert (action.shape, action.dtype) == ((num_envs,), np.int32)
    np.testing.assert_array_equal(next_state, state)
    return np.asarray(action)


@functools.cache
def best_actions():
    return np.argmax(np.asarray(AGENT.network.apply(PARAMETERS, OBSERVATIONS)), axis=1)


def test_an_epsilon_of_zero_is_greedy():
    np.testing.assert_array_equal(act((0.0,)), best_actions())
    assert len(set(best_actions())) > 1  # or it would say little


def test_an_epsilon_of_one_is_uniform():
    counts = np.bincount(act((1.0,)), minlength=4)
    # Four standard deviations around a quarter of 2,000.
    np.testing.assert_allclose(counts, 500, atol=4 * np.sqrt(2_000 * 0.25 * 0.75))
    assert (act((1.0,), seed=3) != act((1.0,), seed=4)).any()


def test_an_epsilon_of_a_half_is_the_best_action_in_five_of_eight():
    found = np.mean(act((0.5,)) == best_actions())
    assert found == pytest.approx(0.5 + 0.5 / 4, abs=0.04)


def test_every_environment_has_its_own_epsilon():
    actions = np.array([act((0.0, 1.0, 0.0), num_envs=3, seed=k) for k in range(20)])
    np.testing.assert_array_equal(actions[:, 0], best_actions()[0])
    np.testing.assert_array_equal(actions[:, 2], best_actions()[2])
    assert len(set(actions[:, 1])) > 1


def test_epsilons_fall_over_the_environments_of_all_actors():
    # 0.5 to the powers of 1, 1 + 2 / 2 and 1 + 2.
    place = ActorPlace(index=0, num_actors=1, num_envs=3)
    assert epsilon_ladder(0.5, 2.0, place) == (0.5, 0.25, 0.125)
    places = [ActorPlace(index=i, num_actors=3, num_envs=1) for i in range(3)]
    found = [epsilon_ladder(0.5, 2.0, place) for place in places]
    assert found == [(0.5,), (0.25,), (0.125,)]


def test_the_only_environment_has_the_largest_epsilon():
    place = ActorPlace(index=0, num_actors=1, num_envs=1)
    assert epsilon_ladder(0.4, 7.0, place) == (0.4,)
