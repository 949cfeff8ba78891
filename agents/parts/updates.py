"""The parts of updates: a target network, weights, random orders, means."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.agents.parts.optimizer import TrainingState


class TargetState(NamedTuple):
    """The training state of an agent with a target network.

    Attributes:
      parameters: of the online network.
      target: the parameters of the target network.
      optimizer: its state.
      num_updates: `[]` int32.
    """

    parameters: Any
    target: Any
    optimizer: Any
    num_updates: jax.Array

    @classmethod
    def init(
        cls, parameters: Any, optimizer: optax.GradientTransformation
    ) -> TargetState:
        """The state before the first update; both networks are equal."""
        zero = jnp.zeros((), jnp.int32)
        return cls(parameters, parameters, optimizer.init(parameters), zero)

    def updated(
        self, optimizer: optax.GradientTransformation, gradients: Any, *, period: int
    ) -> TargetState:
        """The state after a step; every `period` steps the target becomes a copy."""
        online = TrainingState(self.parameters, self.optimizer)
        parameters, optimizer_state = online.updated(optimizer, gradients)
        num_updates = self.num_updates + 1
        target = optax.periodic_update(parameters, self.target, num_updates, period)
        return TargetState(parameters, target, optimizer_state, num_updates)


def importance_weights(probabilities: jax.Array, exponent: float) -> jax.Array:
    """Weights `[B]` that correct for sampling with `probabilities` `[B]`.

    `(1 / (N * p)) ** exponent` over the largest of the batch, in which N, the size of
    the table, cancels: section 3.4 of "Prioritized Experience Replay", arXiv
    1511.05952.
    """
    weights = probabilities**-exponent
    return weights / jnp.max(weights)


def shuffled(key: jax.Array, num_orders: int, num_steps: int) -> jax.Array:
    """The numbers below N in random orders, `[R, N]` int32.

    Each number gets random bits above its own, and sorting by them shuffles. A sort of
    plain numbers is fast; `jax.random.permutation` sorts pairs, and took a sixth of a
    whole update.
    """
    mask = (1 << max(num_steps - 1, 1).bit_length()) - 1
    bits = jax.random.bits(key, (num_orders, num_steps), jnp.uint32)
    numbers = jnp.arange(num_steps, dtype=jnp.uint32)
    ordered = jnp.sort(bits & ~jnp.uint32(mask) | numbers, stable=False)
    order: jax.Array = (ordered & jnp.uint32(mask)).astype(jnp.int32)
    return order


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean `[]` of `x` where the mask, of the same shape, is one."""
    return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def standardize(x: jax.Array, mask: jax.Array) -> jax.Array:
    """`[N]` with mean zero and variance one where the mask `[N]` is one."""
    x = x - masked_mean(x, mask)
    return x / jnp.sqrt(masked_mean(x**2, mask) + 1e-8)
