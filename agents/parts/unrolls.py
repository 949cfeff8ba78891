"""A queue of unrolls, each learned from once; for builders of on-policy agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import ActorPlace, PolicyInputs, no_state
from acmelike.agents.parts.builders import LazyBuilder
from acmelike.agents.parts.softmax import greedy_inputs, sampling_inputs
from acmelike.networks import LSTMState, lstm_state
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec, Nested


class UnrollBuilder(LazyBuilder, ABC):
    """A builder of an agent that draws discrete actions and learns from unrolls.

    Its policy's extras are the `log_prob` of an action, and with an LSTM its state.
    """

    @property
    @abstractmethod
    def unroll_length(self) -> int:
        """Steps of an unroll."""

    @property
    @abstractmethod
    def queue_size(self) -> int:
        """Unrolls that wait for the learner before actors do."""

    @property
    def lstm_size(self) -> int:
        """Units of the policy's LSTM; 0 for none."""
        return 0

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        state = specs.Array((self.lstm_size,), np.float32)
        signature = unroll_signature(
            spec,
            self.unroll_length,
            extras={"log_prob": specs.Array((), np.float32)},
            first_extras=dict.fromkeys(self._state_names(), state),
        )
        return TableConfig.queue("unrolls", signature, max_size=self.queue_size)

    def make_adder(self, num_envs: int) -> UnrollAdder:
        """Unrolls, with the LSTM's state before each."""
        return UnrollAdder(
            num_envs=num_envs,
            length=self.unroll_length,
            first_extras=self._state_names(),
        )

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        return sampling_inputs(spec, self._initial_state())

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        return greedy_inputs(spec, self._initial_state())

    def _state_names(self) -> Sequence[str]:
        return LSTMState._fields if self.lstm_size else ()

    def _initial_state(self) -> Callable[[int], Nested]:
        if not self.lstm_size:
            return no_state
        return partial(lstm_state, num_units=self.lstm_size)
