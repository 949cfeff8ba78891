"""Distributions over discrete actions."""

import jax
import numpy as np

from acmelike.networks import entropy_of, log_prob_of, log_softmax, take_action

LOGITS = np.array([[0.5, -1.0, 2.0], [300.0, -300.0, 299.0], [0, 0, 0]], np.float32)
ACTION = np.array([2, 0, 1], np.int32)


def test_the_log_probability_of_actions_is_that_of_the_whole_distribution():
    taken = log_prob_of(LOGITS, ACTION)
    assert taken.shape == (3,)
    assert taken.dtype == np.float32
    whole = log_softmax(LOGITS)
    np.testing.assert_allclose(taken, take_action(whole, ACTION), atol=1e-5)
    # By hand: log of e^2 over the sum, of 1 over 1 + e^-1, and of a third.
    np.testing.assert_allclose(taken, [-0.241, -0.313, -1.099], atol=1e-3)


def test_actions_may_have_any_leading_axes():
    logits, action = np.stack([LOGITS, 2 * LOGITS]), np.stack([ACTION, ACTION])
    found = jax.jit(take_action)(logits, action)
    np.testing.assert_array_equal(found, [[2, 300, 0], [4, 600, 0]])


def test_the_entropy_of_even_actions_is_the_logarithm_of_their_number():
    np.testing.assert_allclose(entropy_of(log_softmax(LOGITS))[2], np.log(3), rtol=1e-6)
