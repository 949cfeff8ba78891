"""V-trace and the loss of IMPALA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import rlax

from acmelike.agents.impala.agent import ImpalaConfig


def unroll_loss(
    log_prob: jax.Array,
    entropy: jax.Array,
    value: jax.Array,
    r_t: jax.Array,
    discount_t: jax.Array,
    mask: jax.Array,
    old_log_prob: jax.Array,
    config: ImpalaConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The losses and metrics of the steps of an unroll, `[T]`, zero where masked.

    Section 4.2 of "IMPALA", arXiv 1802.01561. A masked step, which is the last
    observation of an episode, does not count. The steps before it bootstrap from its
    value, and no correction passes from one episode to another.

    Args:
      log_prob: `[T]` of the actions, by the policy as it is now.
      entropy: `[T]` of that policy.
      value: `[T + 1]` of the observations.
      r_t: `[T]` rewards.
      discount_t: `[T]`, those of the agent and of the environment together.
      mask: `[T]`, one where an action was taken.
      old_log_prob: `[T]` of the actions when they were taken.
      config: the weights and limits.
    """
    rho = jax.lax.stop_gradient(jnp.exp(log_prob - old_log_prob)) * mask
    traced = rlax.vtrace_td_error_and_advantage(
        value[:-1],
        value[1:],
        r_t,
        discount_t * mask,
        rho,
        config.trace_lambda,
        config.clip_rho,
        config.clip_pg_rho,
    )
    value_loss = 0.5 * traced.errors**2
    losses = mask * (
        -log_prob * jax.lax.stop_gradient(traced.pg_advantage)
        + config.value_weight * value_loss
        - config.entropy_weight * entropy
    )
    metrics = {
        "entropy": mask * entropy,
        "kl": mask * (old_log_prob - log_prob),
        "td_error": mask * jnp.abs(traced.errors),
        "value_loss": mask * value_loss,
    }
    return losses, metrics
