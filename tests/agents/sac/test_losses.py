"""The losses of SAC against numbers worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.agents.sac.losses import (
    critic_loss,
    policy_loss,
    soft_targets,
    temperature_loss,
)

# Rows are critics, columns are items.
Q = jnp.array([[1.0, 5.0], [3.0, 2.0]])
LOG_PROB = jnp.array([-1.0, 2.0])


def test_targets_take_the_smaller_value_and_add_entropy():
    targets = soft_targets(
        jnp.array([10.0, 20.0]), jnp.array([0.5, 0.9]), Q, LOG_PROB, jnp.float32(0.1)
    )
    # 10 + 0.5 (1 + 0.1) and 20 + 0.9 (2 - 0.2).
    np.testing.assert_allclose(targets, [10.55, 21.62])


def test_after_termination_there_is_only_the_reward():
    targets = soft_targets(
        jnp.array([7.0, 8.0]), jnp.zeros(2), Q, LOG_PROB, jnp.float32(0.1)
    )
    np.testing.assert_array_equal(targets, [7, 8])


def test_the_critics_lose_half_their_squared_errors():
    loss, gradient = jax.value_and_grad(critic_loss)(Q, jnp.array([2.0, 2.0]))
    # Errors -1, 3 and 1, 0: the mean over items, the sum over critics.
    assert loss == pytest.approx((0.5 + 4.5) / 2 + (0.5 + 0) / 2)
    np.testing.assert_allclose(gradient, [[-0.5, 1.5], [0.5, 0]])


def test_the_policy_loses_what_it_does_not_get():
    loss, (q, log_prob) = jax.value_and_grad(policy_loss, argnums=(0, 1))(
        Q, LOG_PROB, 0.5
    )
    # (0.5 * -1 - 1) and (0.5 * 2 - 2).
    assert loss == pytest.approx((-1.5 - 1.0) / 2)
    # Only the smaller values count.
    np.testing.assert_allclose(q, [[-0.5, 0], [0, -0.5]])
    np.testing.assert_allclose(log_prob, [0.25, 0.25])


@pytest.mark.parametrize(
    ("target_entropy", "expected"),
    [
        (-1.0, 0.2 * 0.5),  # An entropy of -0.5 is more than enough.
        (-0.5, 0.0),
        (1.0, 0.2 * -1.5),  # It is too little.
    ],
)
def test_the_temperature_rises_while_there_is_too_little_entropy(
    target_entropy, expected
):
    loss, gradient = jax.value_and_grad(temperature_loss)(
        jnp.float32(math.log(0.2)), LOG_PROB, target_entropy
    )
    # The mean of log-probabilities is 0.5. The loss is its own derivative.
    assert loss == pytest.approx(expected, abs=1e-7)
    assert gradient == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_shows_in_the_loss(bad):
    targets = soft_targets(
        jnp.array([1.0, bad]), jnp.full(2, 0.9), Q, LOG_PROB, jnp.float32(0.1)
    )
    assert not np.isfinite(critic_loss(Q, targets))
