"""Acting: who explores how much, and that it does."""

import functools

import jax
import numpy as np
import pytest

from acmelike.agents.dqn.networks import QNetwork
from acmelike.agents.dqn.policy import EpsilonGreedy, epsilon_ladder

NETWORK = QNetwork(num_actions=4, hidden_sizes=(8,), dueling=True)
OBSERVATIONS = np.random.default_rng(0).normal(size=(2_000, 3)).astype(np.float32)
PARAMETERS = jax.device_get(NETWORK.init(jax.random.key(0), (3,)))


def act(epsilons, num_envs=2_000, seed=2):
    policy = EpsilonGreedy(network=NETWORK, epsilons=epsilons)
    state = policy.init(num_envs)
    noise = policy.noise(np.random.default_rng(seed), num_envs)
    acted = policy.act(PARAMETERS, state, OBSERVATIONS[:num_envs], noise)
    action, next_state, extras = acted
    assert not extras
    assert (action.shape, action.dtype) == ((num_envs,), np.int32)
    np.testing.assert_array_equal(next_state, state)
    return action


@functools.cache
def best_actions():
    return np.argmax(NETWORK.apply(PARAMETERS, OBSERVATIONS), axis=1)


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


def test_policies_that_differ_in_epsilons_share_one_compilation():
    num_traces = 0

    @functools.partial(jax.jit, static_argnums=0)
    def traced(policy, *args):
        nonlocal num_traces
        num_traces += 1
        return policy.act(*args)

    policies = [
        EpsilonGreedy(network=NETWORK, epsilons=epsilons)
        for epsilons in [(0.1, 0.2), (0.3, 0.4), (0.0,)]
    ]
    assert len(set(policies)) == 1
    assert len({hash(policy) for policy in policies}) == 1
    for policy in policies:
        traced(policy, PARAMETERS, policy.init(2), OBSERVATIONS[:2], np.zeros((2, 2)))
    assert num_traces == 1

    other = QNetwork(num_actions=3, hidden_sizes=(8,), dueling=True)
    assert EpsilonGreedy(network=other, epsilons=(0.0,)) not in policies


def test_epsilons_fall_over_the_environments_of_all_actors():
    ladder = functools.partial(epsilon_ladder, 0.5, 2.0, num_total=3)
    # 0.5 to the powers of 1, 1 + 2 / 2 and 1 + 2.
    assert ladder(first=0, num_envs=3) == (0.5, 0.25, 0.125)
    assert ladder(first=1, num_envs=2) == (0.25, 0.125)


def test_the_only_environment_is_the_most_curious_one():
    assert epsilon_ladder(0.4, 7.0, first=0, num_envs=1, num_total=1) == (0.4,)
