"""Acting: epsilon-greedy, with an epsilon for every environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acmelike.agent import PolicyOutput
from acmelike.agents.dqn.networks import QNetwork
from acmelike.networks import namespace
from acmelike.types import Array, Nested, Transition

# Nothing is ruled out for ever: an error of zero today may be large later.
MIN_PRIORITY = 1e-3


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
    """Takes the best action, or with probability epsilon any.

    Attributes:
      network: gives action values.
      epsilons: one for each of the K environments; a single one serves any number.
      tells_values: whether its extras are `q_a`, the value of the action, and `q_max`,
        that of the best one, both `[K]` float32.
    """

    network: QNetwork
    tells_values: bool = False
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
    ) -> PolicyOutput:
        """Actions `[K]` int32 for observations `[K, ...]`, in NumPy or JAX."""
        xp = namespace(observation)
        values = self.network.apply(parameters, observation)
        action = epsilon_greedy(values, state, noise)
        if not self.tells_values:
            return PolicyOutput(action, state)
        q_a = xp.take_along_axis(values, action[:, None], axis=-1)[:, 0]
        return PolicyOutput(action, state, {"q_a": q_a, "q_max": values.max(axis=-1)})


def epsilon_greedy(values: Any, epsilons: Any, noise: Any) -> Any:
    """Actions `[K]` int32 by values `[K, A]`, in NumPy or JAX.

    Args:
      values: of the actions.
      epsilons: `[K]`.
      noise: `[2, K]` from 0 to 1: whether to explore, and with what.
    """
    xp = namespace(values)
    whether, which = noise
    at_random = xp.floor(which * values.shape[-1])
    action = xp.where(whether < epsilons, at_random, values.argmax(axis=-1))
    return action.astype(np.int32)


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


def initial_priority(
    transitions: Transition,
    extras_tm1: Mapping[str, Array],
    extras_t: Mapping[str, Array],
) -> Array:
    """Priorities `[M]` by the values that the actor had when it acted: |TD error|.

    Section 3 of "Distributed Prioritized Experience Replay", arXiv 1803.00933: so new
    transitions need not all be sampled once to be told apart.
    """
    target = transitions.r_t + transitions.discount_t * extras_t["q_max"]
    priorities: Array = np.abs(target - extras_tm1["q_a"]) + MIN_PRIORITY
    return priorities
