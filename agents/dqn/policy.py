"""Acting: epsilon-greedy, with an epsilon for every environment."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from acmelike.types import Array
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

    def init(self, key: jax.Array, num_envs: int) -> Array:
        """The state is each environment's epsilon, `[K]`."""
        return np.broadcast_to(np.asarray(self.epsilons, np.float32), (num_envs,))

    def act(
        self, parameters: dict, state: jax.Array, observation: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Actions `[K]` int32 for observations `[K, ...]`."""
        explore_key, action_key = jax.random.split(key)
        apply = jax.vmap(self.network.apply, in_axes=(None, 0))
        q_values = apply(parameters, observation)
        greedy = jnp.argmax(q_values, axis=-1)
        at_random = jax.random.randint(
            action_key, greedy.shape, 0, self.network.num_actions
        )
        explore = jax.random.uniform(explore_key, greedy.shape) < state
        return jnp.where(explore, at_random, greedy).astype(jnp.int32), state


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
