"""The last layers of networks, and the actions that a mask allows."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# LeCun's normal weights times 0.01: at first the outputs hardly differ.
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


def are_allowed(mask: Any) -> Any:
    """Which actions a mask `[..., A]` allows, as bool.

    If it allows none, as it may at the end of an episode, all are allowed.
    """
    is_allowed = mask > 0
    return is_allowed | ~is_allowed.any(axis=-1, keepdims=True)


def only_allowed(values: Any, mask: Any) -> Any:
    """Values or logits `[..., A]`, with `FORBIDDEN` where an action is not allowed.

    Args:
      values: of the actions.
      mask: `[..., A]`, from `mask_of` an observation; None if all are allowed.
    """
    return values if mask is None else jnp.where(are_allowed(mask), values, FORBIDDEN)
