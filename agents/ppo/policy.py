"""Acting: actions are drawn from the policy, and said with their log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acmelike.agent import PolicyOutput
from acmelike.agents.ppo.networks import PolicyParameters, PPONetwork
from acmelike.networks import gumbel_noise, log_prob_of
from acmelike.types import Array, Nested


@dataclass(frozen=True, kw_only=True)
class SoftmaxPolicy:
    """Draws from the softmax of the logits.

    Attributes:
      network: gives logits.
      greedy: take the likeliest action instead, and say nothing else.
    """

    network: PPONetwork
    greedy: bool = False

    @property
    def needs_jax(self) -> bool:
        """As its network does."""
        return self.network.needs_jax

    def init(self, num_envs: int) -> Nested:
        """It has no state."""
        return ()

    def noise(self, random: np.random.Generator, num_envs: int) -> Array:
        """What makes the largest logit a sample: `[K, A]`."""
        return gumbel_noise(random, num_envs, self.network.num_actions)

    def act(
        self, parameters: PolicyParameters, state: Nested, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Actions `[K]` int32 and their `log_prob` `[K]`, in NumPy or JAX."""
        logits = self.network.logits(parameters, observation)
        if self.greedy:
            return PolicyOutput(logits.argmax(axis=-1).astype(np.int32), state)
        action = (logits + noise).argmax(axis=-1).astype(np.int32)
        return PolicyOutput(action, state, {"log_prob": log_prob_of(logits, action)})
