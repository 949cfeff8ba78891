"""Distributions over discrete actions, in NumPy and in JAX."""

import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.networks import log_prob_of, log_softmax, take_action

LOGITS = np.array([[0.5, -1.0, 2.0], [300.0, -300.0, 299.0], [0, 0, 0]], np.float32)
ACTION = np.array([2, 0, 1], np.int32)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_the_log_probability_of_actions_is_that_of_the_whole_distribution(xp):
    logits, action = xp.asarray(LOGITS), xp.asarray(ACTION)
    taken = log_prob_of(logits, action)
    assert taken.shape == (3,)
    assert taken.dtype == np.float32
    whole = log_softmax(logits)
    np.testing.assert_allclose(taken, take_action(whole, action), atol=1e-5)
    # By hand: log of e^2 over the sum, of 1 over 1 + e^-1, and of a third.
    np.testing.assert_allclose(taken, [-0.241, -0.313, -1.099], atol=1e-3)
