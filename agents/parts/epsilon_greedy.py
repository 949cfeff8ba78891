"""Epsilon-greedy exploration, with an epsilon for every environment."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.policies import uniform_noise
from acmelike.types import Array


def epsilon_ladder(
    epsilon: float, alpha: float, place: ActorPlace
) -> tuple[float, ...]:
    """Epsilons of one actor's environments; they fall over those of all actors.

    Environment i of N acts at random with probability
    `epsilon ** (1 + alpha * i / (N - 1))`: section 4.1 of "Distributed Prioritized
    Experience Replay", arXiv 1803.00933, with an environment in the place of an actor.
    """
    steps = max(place.num_actors * place.num_envs - 1, 1)
    first = place.index * place.num_envs
    environments = range(first, first + place.num_envs)
    return tuple(epsilon ** (1 + alpha * i / steps) for i in environments)


def epsilon_inputs(epsilons: tuple[float, ...]) -> PolicyInputs:
    """The inputs of a policy whose state is each environment's epsilon, `[K]`.

    Args:
      epsilons: one for each of the K environments; a single one serves any number.
    """
    return PolicyInputs(
        init=partial(epsilon_state, epsilons=epsilons), noise=EPSILON_NOISE
    )


def epsilon_state(num_envs: int, *, epsilons: tuple[float, ...]) -> Array:
    """The epsilons as an array `[K]` float32."""
    return np.broadcast_to(np.asarray(epsilons, np.float32), (num_envs,))


# Whether to explore, and with which action: `[2, K]` from 0 to 1.
EPSILON_NOISE = partial(uniform_noise, num_rows=2)


def epsilon_greedy(values: Any, epsilons: Any, noise: Any, mask: Any) -> Any:
    """Actions `[K]` int32: the best by `values` `[K, A]`, or random ones by epsilon.

    Args:
      values: of the actions; `only_allowed` was applied to them.
      epsilons: `[K]`.
      noise: `[2, K]` from 0 to 1: whether to explore, and with which action.
      mask: `[K, A]`, 1 for each action that is allowed; None if all are.
    """
    import jax.numpy as jnp  # Actors import this module, but not JAX.

    from acmelike.agents.parts.heads import are_allowed

    whether, which = noise
    if mask is None:
        at_random = jnp.floor(which * values.shape[-1]).astype(jnp.int32)
    else:  # The first action at which enough of the allowed ones have been counted.
        counts = jnp.cumsum(are_allowed(mask), axis=-1)
        wanted = jnp.floor(which * counts[:, -1])[:, None] + 1
        at_random = (counts >= wanted).argmax(axis=-1).astype(jnp.int32)
    action = jnp.where(whether < epsilons, at_random, values.argmax(axis=-1))
    return action.astype(jnp.int32)
