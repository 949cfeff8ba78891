"""The losses of SAC (Haarnoja 2018): arXiv 1812.05905."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import rlax


def soft_targets(
    r_t: jax.Array,
    discount_t: jax.Array,
    q_t: jax.Array,
    log_prob_t: jax.Array,
    temperature: jax.Array,
) -> jax.Array:
    """The targets of the critics, `[B]`: `r_t + discount_t * V(o_t)`.

    `V(o_t)` is `min_i q_i(o_t, a_t) - temperature * log_prob(a_t)` for an action of the
    policy as it is now: equations 2 and 3, with the smaller of two target critics.

    Args:
      r_t: `[B]`.
      discount_t: `[B]`.
      q_t: `[2, B]` by the target critics.
      log_prob_t: `[B]` of the action.
      temperature: `[]`.
    """
    v_t = jnp.min(q_t, axis=0) - temperature * log_prob_t
    return r_t + discount_t * v_t


def critic_loss(q_tm1: jax.Array, targets: jax.Array) -> jax.Array:
    """Half the squared error, `[]`: the mean over B and the sum over critics.

    Equation 5, for each critic.

    Args:
      q_tm1: `[2, B]` values of the actions that were taken.
      targets: `[B]`.
    """
    return jnp.sum(jnp.mean(rlax.l2_loss(q_tm1, targets[None]), axis=1))


def policy_loss(
    q_tm1: jax.Array, log_prob_tm1: jax.Array, temperature: jax.Array
) -> jax.Array:
    """The mean of `temperature * log_prob - min_i q_i`, `[]`: equation 7.

    Args:
      q_tm1: `[2, B]` values of actions that the policy draws by noise.
      log_prob_tm1: `[B]` of these actions.
      temperature: `[]`.
    """
    return jnp.mean(temperature * log_prob_tm1 - jnp.min(q_tm1, axis=0))


def temperature_loss(
    log_temperature: jax.Array, log_prob_tm1: jax.Array, target_entropy: float
) -> jax.Array:
    """The mean of `-temperature * (log_prob + target_entropy)`, `[]`: equation 18.

    The gradient is taken by `log_temperature`, so the temperature stays above 0.

    Args:
      log_temperature: `[]`.
      log_prob_tm1: `[B]` of actions that the policy draws.
      target_entropy: the entropy that the policy should have.
    """
    shortage = jnp.mean(log_prob_tm1) + target_entropy
    return -jnp.exp(log_temperature) * shortage
