"""How the parts of IMPALA fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import ActorPlace
from acmelike.agents.impala.config import ImpalaConfig
from acmelike.agents.impala.networks import ImpalaNetwork
from acmelike.agents.impala.policy import ImpalaPolicy
from acmelike.environments import num_discrete_actions
from acmelike.networks import LSTMState, check_images, make_torso
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec

if TYPE_CHECKING:
    from acmelike.agents.impala.learner import ImpalaCore


@dataclass(frozen=True, kw_only=True)
class ImpalaBuilder:
    """Makes the parts of one IMPALA agent.

    Only the learner's part imports JAX: actors, and whoever only makes a program, do
    without it.

    Attributes:
      config: the agent's settings.
    """

    config: ImpalaConfig

    name = "impala"
    num_updates_per_batch = 1

    @property
    def batch_size(self) -> int:
        """Unrolls of one update."""
        return self.config.batch_size

    @property
    def unroll_length(self) -> int:
        """Steps of an unroll."""
        return self.config.unroll_length

    def check(self, spec: EnvironmentSpec) -> None:
        """Refuses anything but one discrete action, and images of another layout."""
        num_discrete_actions(spec, agent="impala")
        check_images(spec.observations.shape, agent="impala")

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """A queue of unrolls, each learned from once."""
        config = self.config
        state = specs.Array((config.lstm_size,), np.float32)
        signature = unroll_signature(
            spec,
            config.unroll_length,
            extras={"log_prob": specs.Array((), np.float32)},
            first_extras=dict.fromkeys(self._state_names(), state),
        )
        size = config.queue_size or 2 * config.batch_size
        return TableConfig.queue("unrolls", signature, max_size=size)

    def make_adder(self, num_envs: int) -> UnrollAdder:
        """Unrolls, with the LSTM's state when each begins."""
        return UnrollAdder(
            num_envs=num_envs,
            length=self.config.unroll_length,
            first_extras=self._state_names(),
        )

    def make_policy(self, spec: EnvironmentSpec, place: ActorPlace) -> ImpalaPolicy:
        """Draws actions."""
        return ImpalaPolicy(network=self._network(spec))

    def make_greedy_policy(self, spec: EnvironmentSpec) -> ImpalaPolicy:
        """Takes the likeliest action."""
        return ImpalaPolicy(network=self._network(spec), greedy=True)

    def make_learner_core(self, spec: EnvironmentSpec) -> ImpalaCore:
        """V-trace."""
        from acmelike.agents.impala.learner import ImpalaCore

        return ImpalaCore(config=self.config, network=self._network(spec))

    def _state_names(self) -> tuple[str, ...]:
        return LSTMState._fields if self.config.lstm_size else ()

    def _network(self, spec: EnvironmentSpec) -> ImpalaNetwork:
        return ImpalaNetwork(
            torso=make_torso(spec.observations.shape, self.config.hidden_sizes),
            lstm_size=self.config.lstm_size,
            num_actions=num_discrete_actions(spec, agent="impala"),
        )
