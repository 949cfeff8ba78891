"""Acting: epsilon-greedy with a memory, which is told to replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from acmelike.agent import PolicyOutput
from acmelike.agents.dqn.policy import epsilon_greedy
from acmelike.agents.r2d2.networks import Memory, RecurrentQNetwork
from acmelike.types import Array, Nested


class PolicyState(NamedTuple):
    """What a policy keeps from step to step.

    Attributes:
      memory: `[K, ...]`.
      epsilon: `[K]` float32, of each environment.
    """

    memory: Memory
    epsilon: Any


@dataclass(frozen=True, kw_only=True)
class RecurrentEpsilonGreedy:
    """Takes the best action, or with probability epsilon any.

    Attributes:
      network: gives action values.
      tells_memory: whether its extras are the memory before the step, by the names of
        its fields.
      epsilons: one for each of the K environments; a single one serves any number.
    """

    network: RecurrentQNetwork
    tells_memory: bool = False
    # `act` finds them in the state; so policies that differ in them share its code.
    epsilons: tuple[float, ...] = field(compare=False)

    @property
    def needs_jax(self) -> bool:
        """As its network does."""
        return self.network.needs_jax

    def init(self, num_envs: int) -> PolicyState:
        """An empty memory, and each environment's epsilon."""
        epsilons = np.asarray(self.epsilons, np.float32)
        return PolicyState(
            self.network.initial(num_envs), np.broadcast_to(epsilons, (num_envs,))
        )

    def noise(self, random: np.random.Generator, num_envs: int) -> Array:
        """Whether to explore, and with what: `[2, K]` from 0 to 1."""
        return random.random((2, num_envs), np.float32)

    def act(
        self, parameters: Nested, state: PolicyState, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Actions `[K]` int32 for observations `[K, ...]`, in NumPy or JAX."""
        memory, epsilon = state
        values, remembered = self.network.step(parameters, memory, observation)
        action = epsilon_greedy(values, epsilon, noise)
        return PolicyOutput(
            action,
            PolicyState(Memory(*remembered, action), epsilon),
            memory._asdict() if self.tells_memory else {},
        )
