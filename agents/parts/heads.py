"""The last layers of networks, and the actions that an observation allows."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.types import ACTION_MASK, Nested

# LeCun's normal weights times 0.01: at first all actions are nearly alike.
SMALL = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class QHead(nn.Module):
    """Features `[..., F]` to action values `[..., A]`.

    With `dueling`, `q(s, a) = v(s) + adv(s, a) - mean_a adv(s, a)`, equation 9 of
    "Dueling Network Architectures for Deep Reinforcement Learning", arXiv 1511.06581.

    Attributes:
      num_actions: A.
      dueling: whether value and advantage have layers of their own.
    """

    num_actions: int
    dueling: bool

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        advantage = nn.Dense(self.num_actions, name="advantage")(features)
        if not self.dueling:
            return advantage
        value = nn.Dense(1, name="value")(features)
        return value + advantage - advantage.mean(axis=-1, keepdims=True)


# The value of an action that is not allowed: lower than any other, and finite.
FORBIDDEN = -1e9


def given_mask(observation: Nested) -> Any:
    """The action mask of an observation, `[..., M]`; None if it has none."""
    return observation.get(ACTION_MASK) if isinstance(observation, dict) else None


def are_allowed(mask: Any) -> Any:
    """Which actions a mask `[..., A]` allows, as bool.

    If it allows none, as it may at the end of an episode, all are allowed.
    """
    is_allowed = mask > 0
    return is_allowed | ~is_allowed.any(axis=-1, keepdims=True)


def mask_of(observation: Nested) -> Any:
    """Which actions are allowed, `[..., A]` bool; None if observations do not say."""
    mask = given_mask(observation)
    return None if mask is None else are_allowed(mask)


def only_allowed(values: Any, observation: Nested) -> Any:
    """Values or logits `[..., A]`, with `FORBIDDEN` where an action is not allowed."""
    mask = mask_of(observation)
    return values if mask is None else jnp.where(mask, values, FORBIDDEN)
