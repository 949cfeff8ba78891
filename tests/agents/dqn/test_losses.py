"""The loss of DQN against numbers worked out by hand, with a table for a network."""

from functools import partial

import jax
import numpy as np
import pytest

from acmelike.agents.dqn.losses import dqn_loss, td_errors
from acmelike.agents.parts.updates import importance_weights
from acmelike.types import Transition

# Rows are states, columns are actions. In state 1 the online table prefers action 1,
# the target table action 0.
ONLINE = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
TARGET = np.array([[0.0, 0.0], [10.0, 4.0]], np.float32)


def lookup(table, state):
    return table[state]


compiled_td_errors = jax.jit(partial(td_errors, lookup), static_argnames="double")
compiled_loss = jax.jit(partial(dqn_loss, lookup), static_argnames="double")


def transitions(*rows):
    """From rows of `(a_tm1, r_t, discount_t)`, each from state 0 to state 1."""
    a_tm1, r_t, discount_t = zip(*rows, strict=True)
    n = len(rows)
    return Transition(
        o_tm1=np.zeros(n, np.int32),
        a_tm1=np.array(a_tm1),
        r_t=np.array(r_t, np.float32),
        discount_t=np.array(discount_t, np.float32),
        o_t=np.ones(n, np.int32),
        version=np.zeros(n, np.int32),
    )


def test_double_takes_the_online_action_at_its_target_value():
    batch = transitions((1, 1, 0.5), (0, 1, 0.5))
    errors, q_a = compiled_td_errors(ONLINE, TARGET, batch, double=True)
    np.testing.assert_allclose(errors, [1 + 0.5 * 4 - 2, 1 + 0.5 * 4 - 1])
    np.testing.assert_array_equal(q_a, [2, 1])


def test_otherwise_it_takes_the_largest_target_value():
    batch = transitions((1, 1, 0.5), (0, 1, 0.5))
    errors, _ = compiled_td_errors(ONLINE, TARGET, batch, double=False)
    np.testing.assert_allclose(errors, [1 + 0.5 * 10 - 2, 1 + 0.5 * 10 - 1])


@pytest.mark.parametrize("double", [True, False])
def test_after_termination_there_is_only_the_reward(double):
    batch = transitions((1, 7, 0))
    errors, _ = compiled_td_errors(ONLINE, TARGET, batch, double=double)
    np.testing.assert_allclose(errors, [7 - 2])


@pytest.mark.parametrize(
    ("exponent", "weights"), [(0.0, [1, 1]), (0.5, [1, 0.5]), (1.0, [1, 0.25])]
)
def test_importance_weights(exponent, weights):
    found = importance_weights(np.array([0.1, 0.4]), exponent)
    np.testing.assert_allclose(found, weights, rtol=1e-6)


@pytest.mark.parametrize(
    ("delta", "losses"), [(1.0, [0.5 * 0.5**2, 3 - 0.5]), (4.0, [0.125, 0.5 * 3**2])]
)
def test_the_loss_is_the_mean_of_weighted_huber_losses(delta, losses):
    # The errors are 2.5 - 2 and 5 - 2.
    batch = transitions((1, 2.5, 0), (1, 5, 0))
    loss, (errors, _) = compiled_loss(
        ONLINE,
        TARGET,
        batch,
        np.array([1.0, 0.25]),
        double=True,
        huber_delta=delta,
    )
    np.testing.assert_allclose(errors, [0.5, 3])
    assert loss == pytest.approx((losses[0] + 0.25 * losses[1]) / 2)


@pytest.mark.parametrize("double", [True, False])
def test_only_the_value_of_the_action_taken_is_moved(double):
    def loss(online, target):
        batch = transitions((1, 2.5, 0), (1, 5, 0), (0, 0, 0.5))
        weights = np.array([1.0, 0.25, 0.0])
        return compiled_loss(
            online, target, batch, weights, double=double, huber_delta=1.0
        )[0]

    online, target = jax.jit(jax.grad(loss, argnums=(0, 1)))(ONLINE, TARGET)
    # Minus the errors, those above 1 cut to it, weighted: -(0.5 + 0.25 * 1) / 3.
    np.testing.assert_allclose(online, [[0, -0.25], [0, 0]], atol=1e-7)
    np.testing.assert_array_equal(target, np.zeros((2, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_shows_in_the_loss(bad):
    batch = transitions((1, 1, 0.5), (1, bad, 0.5))
    loss, _ = compiled_loss(
        ONLINE, TARGET, batch, np.ones(2), double=True, huber_delta=1.0
    )
    assert not np.isfinite(loss)
