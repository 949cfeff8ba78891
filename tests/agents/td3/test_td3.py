"""TD3: its losses against numbers worked out by hand, and what an update changes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.agents.td3 import TD3Config
from acmelike.agents.td3.learner import TD3
from acmelike.agents.td3.losses import critic_loss, smoothed
from tests.agents.compiled import compiled_update, first_state
from tests.agents.sac.test_learner import BOUNDS, SPEC, flat, make_items
from tests.agents.settings import configure


def test_noise_is_clipped_and_so_is_the_action_with_it():
    action = jnp.array([[0.9, -0.25], [0.0, -0.75]])
    noise = jnp.array([[0.75, -0.9], [0.25, -0.5]])
    found = smoothed(action, noise, 0.5)
    np.testing.assert_allclose(found, [[1.0, -0.75], [0.25, -1.0]])


def test_the_critics_lose_their_squared_errors_to_the_smaller_value():
    r_t, discount_t = jnp.array([1.0, 2.0]), jnp.array([0.5, 0.0])
    q_t = jnp.array([[2.0, 9.0], [4.0, 1.0]])  # Rows are critics, columns are items.
    q_tm1 = jnp.array([[3.0, 2.0], [0.0, 4.0]])
    loss, (by_q_tm1, by_q_t) = jax.value_and_grad(critic_loss, argnums=(0, 3))(
        q_tm1, r_t, discount_t, q_t
    )
    # Targets 1 + 0.5 * 2 and 2; errors 1, 0 and -2, 2.
    assert loss == pytest.approx((1 + 0) / 2 + (4 + 4) / 2)
    np.testing.assert_allclose(by_q_tm1, [[1, 0], [-2, 2]])
    assert not np.any(by_q_t)


@functools.cache
def compiled():
    """The agent, its update compiled, and a state to begin from."""
    config = configure(
        TD3Config,
        hidden_sizes=(8,),
        num_updates_per_call=1,
        target_rate=0.25,
        policy_period=2,
    )
    agent = TD3(config, SPEC)
    return agent, compiled_update(agent), first_state(agent)


def test_the_policy_and_the_targets_change_with_every_second_update():
    _, update, before = compiled()
    policy, critics, targets, count = before
    np.testing.assert_array_equal(
        flat(targets), flat((policy.parameters, critics.parameters))
    )
    once, _ = update(before, *make_items())
    assert (count, once[3]) == (0, 1)
    np.testing.assert_array_equal(flat(once[0]), flat(policy))
    np.testing.assert_array_equal(flat(once[2]), flat(targets))
    assert np.any(flat(once[1].parameters) != flat(critics.parameters))
    twice, _ = update(once, *make_items())
    assert np.any(flat(twice[0].parameters) != flat(policy.parameters))
    newest = flat((twice[0].parameters, twice[1].parameters))
    expected = 0.75 * flat(targets) + 0.25 * newest
    np.testing.assert_allclose(flat(twice[2]), expected, rtol=1e-5, atol=1e-7)


def test_the_policy_moves_to_what_the_first_critic_values_more():
    agent, update, state = compiled()
    data, probabilities = make_items()
    for _ in range(2):
        before, (state, _) = state, update(state, data, probabilities)
    critics = state[1].parameters

    def value(policy):
        action = agent.policy.apply(policy.parameters, data.o_tm1)
        return agent.critics.apply(critics, data.o_tm1, action)[0].mean()

    assert value(state[0]) > value(before[0])


def test_actions_are_the_policys_with_noise_within_the_bounds():
    agent, _, state = compiled()
    parameters = jax.tree.map(lambda x: x + 0.05, agent.parameters(state))
    observation = np.ones((3, 3), np.float32)
    noise = np.array([[0, 0], [9, -9], [0.1, 0]], np.float32)
    action = np.asarray(agent.act(parameters, (), observation, noise).action)
    mean = np.asarray(agent.policy.apply(parameters, observation[:1]))
    np.testing.assert_allclose(action[:1], BOUNDS.scale(mean), atol=1e-5)
    np.testing.assert_allclose(action[1], [2.0, 0.0], atol=1e-6)
    # A tenth of half of its range.
    np.testing.assert_allclose(action[2] - action[0], [0.2, 0.0], atol=1e-5)
