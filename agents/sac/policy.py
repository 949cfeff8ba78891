"""Acting: a sample of the squashed Gaussian, or its median."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acmelike.agent import PolicyOutput
from acmelike.agents.sac.bounds import Bounds
from acmelike.agents.sac.gaussian import sample
from acmelike.agents.sac.networks import PolicyNetwork
from acmelike.types import Array, Nested


@dataclass(frozen=True, kw_only=True)
class SquashedGaussian:
    """Draws an action, or without noise takes the one in the middle.

    Attributes:
      network: gives the distribution.
      bounds: of the environment's actions.
      is_greedy: whether the noise is zero.
    """

    network: PolicyNetwork
    bounds: Bounds
    # `act` finds the noise in its input; so both kinds of policy share its code.
    is_greedy: bool = field(default=False, compare=False)

    @property
    def needs_jax(self) -> bool:
        """As its network does."""
        return self.network.needs_jax

    def init(self, num_envs: int) -> Nested:
        """It has no state."""
        return ()

    def noise(self, random: np.random.Generator, num_envs: int) -> Array:
        """Standard normal numbers `[K, A]`."""
        shape = num_envs, self.bounds.size
        if self.is_greedy:
            return np.zeros(shape, np.float32)
        return random.standard_normal(shape, np.float32)

    def act(
        self, parameters: Nested, state: Nested, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Actions `[K, ...]` float32 for observations `[K, ...]`, in NumPy or JAX."""
        gaussian = self.network.apply(parameters, observation)
        return PolicyOutput(self.bounds.scale(sample(gaussian, noise)), state)
