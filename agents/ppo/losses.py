"""Advantages and the clipped loss of PPO."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax

from acmelike.agents.parts.updates import masked_mean, standardize
from acmelike.agents.ppo.agent import PPOConfig
from acmelike.types import Nested


class PPOSteps(NamedTuple):
    """Single steps `[N, ...]`, and their estimates from before the first update.

    Observations are as the networks see them: normalised, if that is wanted. An action
    is what its distribution has sampled.
    """

    observation: Nested
    action: jax.Array
    mask: jax.Array
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    target: jax.Array


def advantages(
    r_t: jax.Array,
    discount_t: jax.Array,
    mask: jax.Array,
    values: jax.Array,
    gae_lambda: float,
) -> tuple[jax.Array, jax.Array]:
    """Generalized advantages of an unroll.

    Equation 11 of "Proximal Policy Optimization Algorithms", arXiv 1707.06347. At a
    masked step, an episode's last observation, the return is the estimated value. So a
    truncated episode bootstraps there, and no advantage passes from one episode to
    another.

    Args:
      r_t: `[T]` rewards.
      discount_t: `[T]`, those of the agent and of the environment together.
      mask: `[T]`, one where an action was taken.
      values: `[T + 1]` of the observations.
      gae_lambda: see `PPOConfig`.

    Returns:
      The advantages of the actions `[T]`, and the targets of the values `[T]`.
    """
    earned = jnp.where(mask > 0, r_t, values[:-1])
    advantage = rlax.truncated_generalized_advantage_estimation(
        earned, discount_t * mask, gae_lambda, values
    )
    return advantage, advantage + values[:-1]


def policy_loss(
    log_prob: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    clip: float,
) -> jax.Array:
    """The clipped surrogate `[]` of steps `[N]`: equation 7 of arXiv 1707.06347."""
    ratio = jnp.exp(log_prob - old_log_prob)
    # A mean over all steps; masked steps count as zero.
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

    With `clip`, the maximum of two squared errors: of the value, and of the value
    clipped to within `clip` of the old one. The authors' implementation does that, and
    the paper does not mention it.
    """
    errors = (value - target) ** 2
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        errors = jnp.maximum(errors, (near - target) ** 2)
    return 0.5 * masked_mean(errors, mask)


def ppo_loss(
    log_prob: jax.Array,
    entropy: jax.Array,
    value: jax.Array,
    steps: PPOSteps,
    config: PPOConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss `[]` of a minibatch, equation 9 of arXiv 1707.06347, and metrics.

    Args:
      log_prob: `[N]` of the actions, by the policy as it is now.
      entropy: `[N]` of that policy.
      value: `[N]`, as it is now.
      steps: the minibatch.
      config: the weights and limits.
    """
    mask, advantage = steps.mask, steps.advantage
    if config.normalize_advantages:
        advantage = standardize(advantage, mask)
    entropy = masked_mean(entropy, mask)
    of_policy = policy_loss(log_prob, steps.log_prob, advantage, mask, config.clip)
    of_value = value_loss(value, steps.value, steps.target, mask, config.clip_values)
    loss = of_policy + config.value_weight * of_value - config.entropy_weight * entropy
    log_ratio = log_prob - steps.log_prob
    is_clipped = jnp.abs(jnp.exp(log_ratio) - 1) > config.clip
    return loss, {
        "entropy": entropy,
        "kl": masked_mean(-log_ratio, mask),
        "clip_fraction": masked_mean(is_clipped, mask),
        "value_loss": of_value,
    }
