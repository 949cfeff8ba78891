"""The last layers of networks."""

from __future__ import annotations

import flax.linen as nn
import jax

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
