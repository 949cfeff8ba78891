"""Acting: epsilon-greedy, with an epsilon for every environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acmelike.networks import namespace
from acmelike.types import Array, Nested
from agents.dqn.networks import QNetwork


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
    """Takes the best action, or with probability epsilon any.

    Attributes:
      network: gives action values.
      epsilons: one for each of the K environments; a single one serves any number.
    """

    network: QNetwork
    # `act` finds them in the state; so policies that differ in them share its code.
    epsilons: tuple[float, ...] = field(compare=False)

    @property
    def needs_jax(self) -> bool:
        """As its network does."""
        return self.network.needs_jax

    def init(self, num_envs: int) -> Array:
        """The state is each environment's epsilon, `[K]`."""
        return np.broadcast_to(np.asarray(self.epsilons, np.float32), (num_envs,))

    def noise(self, random: np.random.Generator, num_envs: int) -> Array:
        """Whether to explore, and with what: `[2, K]` from 0 to 1."""
        return random.random((2, num_envs), np.float32)

    def act(
        self, parameters: Nested, state: Any, observation: Any, noise: Any
    ) -> tuple[Any, Any]:
        """Actions `[K]` int32 for observations `[K, ...]`, in NumPy or JAX."""
        xp = namespace(observation)
        whether, which = noise
        greedy = self.network.apply(parameters, observation).argmax(axis=-1)
        at_random = xp.floor(which * self.network.num_actions)
        return xp.where(whether < state, at_random, greedy).astype(np.int32), state


def epsilon_ladder(
    epsilon: float, alpha: float, *, first: int, num_envs: int, num_total: int
) -> tuple[float, ...]:
    """Epsilons of environments `first` to `first + num_envs` of `num_total`.

    Section 4.1 of "Distributed Prioritized Experience Replay", arXiv 1803.00933, with
    an environment in the place of an actor.
    """
    steps = max(num_total - 1, 1)
    places = range(first, first + num_envs)
    return tuple(epsilon ** (1 + alpha * place / steps) for place in places)
