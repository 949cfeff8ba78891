"""The Q-network."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class QNetwork(nn.Module):
    """A multi-layer perceptron: observation `[...]` to action values `[A]`, unbatched.

    With `dueling`, `q(s, a) = v(s) + adv(s, a) - mean_a adv(s, a)`, equation 9 of
    "Dueling Network Architectures for Deep Reinforcement Learning", arXiv 1511.06581.

    Attributes:
      num_actions: A.
      hidden_sizes: units of each hidden layer.
      dueling: whether value and advantage have streams of their own.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]
    dueling: bool

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        x = jnp.reshape(observation, (math.prod(observation.shape),))
        x = x.astype(jnp.float32)
        for size in self.hidden_sizes:
            x = nn.relu(nn.Dense(size)(x))
        advantages = nn.Dense(self.num_actions)(x)
        if not self.dueling:
            return advantages
        value = nn.Dense(1)(x)
        return value + advantages - jnp.mean(advantages)
