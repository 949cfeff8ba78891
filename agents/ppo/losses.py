"""Advantages and the clipped loss of PPO."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax


class Advantages(NamedTuple):
    """Of steps `[T]`: how much better each action was than expected, and by what.

    Attributes:
      advantage: `[T]`.
      target: `[T]`, what the value should have been.
    """

    advantage: jax.Array
    target: jax.Array


def advantages(
    r_t: jax.Array,
    discount_t: jax.Array,
    mask: jax.Array,
    values: jax.Array,
    gae_lambda: float,
) -> Advantages:
    """Generalized advantages of an unroll.

    Equation 11 of "Proximal Policy Optimization Algorithms", arXiv 1707.06347. A step
    that is masked, the last observation of an episode, is worth its value and earns
    nothing beyond it: so a truncated episode bootstraps from there, and no advantage
    passes from one episode to another.

    Args:
      r_t: `[T]` rewards.
      discount_t: `[T]`, those of the agent and of the environment together.
      mask: `[T]`, one where an action was taken.
      values: `[T + 1]` of the observations.
      gae_lambda: see `PPOConfig`.
    """
    earned = jnp.where(mask > 0, r_t, values[:-1])
    advantage = rlax.truncated_generalized_advantage_estimation(
        earned, discount_t * mask, gae_lambda, values
    )
    return Advantages(advantage, advantage + values[:-1])


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean `[]` of `x` `[N]` where the mask `[N]` is one."""
    return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def standardize(x: jax.Array, mask: jax.Array) -> jax.Array:
    """`[N]` with mean zero and variance one where the mask `[N]` is one."""
    x = x - masked_mean(x, mask)
    return x / jnp.sqrt(masked_mean(x**2, mask) + 1e-8)


def policy_loss(
    log_prob: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    clip: float,
) -> jax.Array:
    """The clipped surrogate `[]` of steps `[N]`: equation 7 of arXiv 1707.06347."""
    ratio = jnp.exp(log_prob - old_log_prob)
    # A mean over all steps, of which those that are masked are zero.
    loss: jax.Array = rlax.clipped_surrogate_pg_loss(ratio, advantage * mask, clip)
    return loss / jnp.maximum(jnp.mean(mask), 1e-8)


def value_loss(
    value: jax.Array,
    old_value: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    clip: float | None,
) -> jax.Array:
    """Half the mean square error `[]` of values `[N]`.

    With `clip`, the larger one of this and of that of values that stay near the old
    ones: what the authors' implementation does, and the paper does not mention.
    """
    errors = (value - target) ** 2
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        errors = jnp.maximum(errors, (near - target) ** 2)
    return 0.5 * masked_mean(errors, mask)
