"""Acting: actions are drawn from the policy, and said with their log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acmelike.agent import PolicyOutput
from acmelike.agents.impala.networks import ImpalaNetwork
from acmelike.networks import LSTMState, gumbel_noise, log_prob_of
from acmelike.types import Array, Nested


@dataclass(frozen=True, kw_only=True)
class ImpalaPolicy:
    """Draws from the softmax of the logits.

    Attributes:
      network: gives logits.
      greedy: take the likeliest action instead, and say nothing else.
    """

    network: ImpalaNetwork
    greedy: bool = False

    @property
    def needs_jax(self) -> bool:
        """As its network does."""
        return self.network.needs_jax

    def init(self, num_envs: int) -> Nested:
        """The network's."""
        return self.network.initial_state(num_envs)

    def noise(self, random: np.random.Generator, num_envs: int) -> Array:
        """What makes the largest logit a sample: `[K, A]`."""
        return gumbel_noise(random, num_envs, self.network.num_actions)

    def act(
        self, parameters: Nested, state: Nested, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Actions `[K]` int32, in NumPy or JAX.

        Its extras are `log_prob` `[K]`, and with an LSTM `hidden` and `cell` `[K, H]`,
        the state before this observation.
        """
        (logits, _), next_state = self.network.step(parameters, state, observation)
        if self.greedy:
            return PolicyOutput(logits.argmax(axis=-1).astype(np.int32), next_state)
        action = (logits + noise).argmax(axis=-1).astype(np.int32)
        extras = {"log_prob": log_prob_of(logits, action)}
        if isinstance(state, LSTMState):
            extras |= state._asdict()
        return PolicyOutput(action, next_state, extras)
