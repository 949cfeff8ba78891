"""How the parts of PPO fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import ActorPlace
from acmelike.agents.ppo.config import PPOConfig
from acmelike.agents.ppo.networks import PPONetwork
from acmelike.agents.ppo.policy import SoftmaxPolicy
from acmelike.environments import num_discrete_actions
from acmelike.errors import ConfigError
from acmelike.networks import check_images, make_torso
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec

if TYPE_CHECKING:
    from acmelike.agents.ppo.learner import PPOCore


@dataclass(frozen=True, kw_only=True)
class PPOBuilder:
    """Makes the parts of one PPO agent.

    Only the learner's part imports JAX: actors, and whoever only makes a program, do
    without it.

    Attributes:
      config: the agent's settings.
      batch_size: unrolls of one call; in lock-step, all environments of all actors.
    """

    config: PPOConfig
    batch_size: int

    name = "ppo"

    @property
    def num_updates_per_batch(self) -> int:
        """Updates of one call."""
        return self.config.num_epochs * self.config.num_minibatches

    @property
    def unroll_length(self) -> int:
        """Steps of an unroll."""
        return self.config.unroll_length

    def check(self, spec: EnvironmentSpec) -> None:
        """Refuses all but one discrete action, odd images, and unequal minibatches."""
        num_discrete_actions(spec, agent="ppo")
        check_images(spec.observations.shape, agent="ppo")
        num_steps = self.batch_size * self.unroll_length
        if num_steps % self.config.num_minibatches:
            raise ConfigError(
                f"num_minibatches must divide the {num_steps} steps of "
                f"{self.batch_size} environments: {self.config.num_minibatches}"
            )

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """A queue of unrolls, with room for one batch."""
        signature = unroll_signature(
            spec, self.unroll_length, {"log_prob": specs.Array((), np.float32)}
        )
        return TableConfig.queue("unrolls", signature, max_size=self.batch_size)

    def make_adder(self, num_envs: int) -> UnrollAdder:
        """Unrolls."""
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length)

    def make_policy(self, spec: EnvironmentSpec, place: ActorPlace) -> SoftmaxPolicy:
        """Draws actions."""
        return SoftmaxPolicy(network=self._network(spec))

    def make_greedy_policy(self, spec: EnvironmentSpec) -> SoftmaxPolicy:
        """Takes the likeliest action."""
        return SoftmaxPolicy(network=self._network(spec), greedy=True)

    def make_learner_core(self, spec: EnvironmentSpec) -> PPOCore:
        """The clipped objective, some epochs of it."""
        from acmelike.agents.ppo.learner import PPOCore

        return PPOCore(config=self.config, network=self._network(spec))

    def _network(self, spec: EnvironmentSpec) -> PPONetwork:
        return PPONetwork(
            torso=make_torso(
                spec.observations.shape,
                self.config.hidden_sizes,
                self.config.activation,
            ),
            num_actions=num_discrete_actions(spec, agent="ppo"),
        )
