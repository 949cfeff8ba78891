"""V-trace and the loss of IMPALA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import rlax

from acmelike.agents.impala.agent import ImpalaConfig
from acmelike.agents.parts.heads import ActorCritic
from acmelike.networks import entropy_of, log_softmax, take_action


def unroll_loss(
    heads: ActorCritic,
    a_t: jax.Array,
    r_t: jax.Array,
    discount_t: jax.Array,
    mask: jax.Array,
    old_log_prob: jax.Array,
    config: ImpalaConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The losses and metrics of the steps of an unroll, `[T]`, zero where masked.

    Section 4.2 of "IMPALA", arXiv 1802.01561. A step that is masked, the last
    observation of an episode, counts for nothing: what comes before bootstraps from
    its value, and no correction passes from one episode to another.

    Args:
      heads: `[T + 1, ...]`, of the observations.
      a_t: `[T]` the actions.
      r_t: `[T]` rewards.
      discount_t: `[T]`, those of the agent and of the environment together.
      mask: `[T]`, one where an action was taken.
      old_log_prob: `[T]` of the actions when they were taken.
      config: the weights and limits.
    """
    value = heads.value
    log_probs = log_softmax(heads.logits[:-1])
    log_prob = take_action(log_probs, a_t)
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
    entropy = entropy_of(log_probs)
    losses = mask * (
        -log_prob * jax.lax.stop_gradient(traced.pg_advantage)
        + config.value_weight * 0.5 * traced.errors**2
        - config.entropy_weight * entropy
    )
    metrics = {
        "entropy": mask * entropy,
        "kl": mask * (old_log_prob - log_prob),
        "td_error": mask * jnp.abs(traced.errors),
    }
    return losses, metrics
