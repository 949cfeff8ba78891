"""IMPALA's loss against numbers worked out by hand, and V-trace's known limits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from acmelike.agents.impala import ImpalaConfig
from acmelike.agents.impala.losses import unroll_loss

VALUE_ONLY = ImpalaConfig(value_weight=1.0, entropy_weight=0.0)
EVEN = np.log(0.5)


def f32(*values):
    return np.array(values, np.float32)


@partial(jax.jit, static_argnames="config")
def errors(values, r_t, discount_t, mask, old_log_prob, config=VALUE_ONLY):
    """The corrections of values: the gradient of half their squares.

    There are two actions, alike everywhere.
    """

    def loss(value):
        log_prob, entropy = jnp.full((2, len(r_t)), EVEN)
        losses, _ = unroll_loss(
            log_prob, -entropy, value, r_t, discount_t, mask, old_log_prob, config
        )
        return losses.sum()

    # The policy's part has no gradient by values, as its advantages are fixed.
    return -jax.grad(loss)(values)[:-1]


def test_with_equal_policies_the_target_is_the_n_step_return():
    random = np.random.default_rng(0)
    r_t, discount_t = random.normal(size=(2, 8)).astype(np.float32)
    discount_t = np.abs(discount_t).clip(0, 1)
    value = random.normal(size=9).astype(np.float32)
    found = errors(value, r_t, discount_t, np.ones(8), np.full(8, EVEN))
    target = value[-1]
    for t in reversed(range(8)):
        target = r_t[t] + discount_t[t] * target
        np.testing.assert_allclose(found[t], target - value[t], rtol=1e-4, atol=1e-5)


def test_what_was_likelier_then_counts_less():
    # The old policy took the action twice as often: both steps count by a half.
    old = f32(np.log(1.0), np.log(1.0))
    found = errors(f32(2, 4, 6), f32(1, 2), f32(0.5, 0.5), f32(1, 1), old)
    second = 0.5 * (2 + 0.5 * 6 - 4)
    first = 0.5 * (1 + 0.5 * 4 - 2) + 0.5 * 0.5 * second
    np.testing.assert_allclose(found, [first, second])


def test_what_was_unlikelier_then_counts_no_more_than_one():
    old = f32(np.log(0.1), np.log(0.1))
    found = errors(f32(2, 4, 6), f32(1, 2), f32(0.5, 0.5), f32(1, 1), old)
    np.testing.assert_allclose(found, [1 + 0.5 * 4 - 2 + 0.5 * 1, 2 + 0.5 * 6 - 4])


def test_a_truncated_episode_bootstraps_from_its_last_observation_and_no_further():
    old = np.full(3, EVEN, np.float32)
    value = f32(7, 100, 2, 5)
    found = errors(value, f32(3, 9, 1), f32(1, 1, 1), f32(1, 0, 1), old)
    np.testing.assert_allclose(found, [3 + 100 - 7, 0, 1 + 5 - 2], rtol=1e-5)
    found = errors(value, f32(3, 9, 1), f32(0, 1, 1), f32(1, 0, 1), old)
    np.testing.assert_allclose(found, [3 - 7, 0, 1 + 5 - 2])


def test_policy_value_and_entropy_by_hand():
    config = ImpalaConfig(value_weight=0.5, entropy_weight=0.1)
    found, metrics = unroll_loss(
        f32(EVEN),
        f32(np.log(2)),
        f32(2, 4),
        f32(1),
        f32(0.5),
        f32(1),
        f32(EVEN),
        config,
    )
    # Advantage and error are 1 + 0.5 * 4 - 2 = 1; two even actions have entropy log 2.
    expected = -EVEN * 1 + 0.5 * 0.5 * 1 - 0.1 * np.log(2)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    np.testing.assert_allclose(metrics["value_loss"], [0.5 * 1], rtol=1e-6)
