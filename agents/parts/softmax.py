"""Actions drawn from the softmax of logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from acmelike.agent import PolicyInputs, no_state
from acmelike.policies import gumbel_noise, zero_noise
from acmelike.types import EnvironmentSpec, Nested


def sampling_inputs(
    spec: EnvironmentSpec, init: Callable[[int], Nested] = no_state
) -> PolicyInputs:
    """The inputs of a policy that draws its actions; `init` makes its state."""
    num_actions = spec.actions.num_values
    return PolicyInputs(init=init, noise=partial(gumbel_noise, num_actions=num_actions))


def greedy_inputs(
    spec: EnvironmentSpec, init: Callable[[int], Nested] = no_state
) -> PolicyInputs:
    """The inputs with which it takes the likeliest action: without noise."""
    num_actions = spec.actions.num_values
    return PolicyInputs(init=init, noise=partial(zero_noise, size=num_actions))


def sample(logits: Any, noise: Any) -> tuple[Any, dict[str, Any]]:
    """Actions `[K]` int32 by logits `[K, A]`, and their log-probabilities.

    Args:
      logits: of the actions.
      noise: `[K, A]`, Gumbel's, or zeros for the likeliest actions.

    Returns:
      The actions, and the extras of a policy: `log_prob` `[K]`.
    """
    # Actors import this module, but not JAX.
    import jax.numpy as jnp

    from acmelike.networks import log_prob_of

    action = (logits + noise).argmax(axis=-1).astype(jnp.int32)
    return action, {"log_prob": log_prob_of(logits, action)}
