"""How the parts of DQN fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agent import ActorPlace
from acmelike.agents.dqn.config import DQNConfig
from acmelike.agents.dqn.networks import QNetwork
from acmelike.agents.dqn.policy import EpsilonGreedy, epsilon_ladder, initial_priority
from acmelike.environments import num_discrete_actions
from acmelike.networks import check_images
from acmelike.replay import Prioritized, SamplesPerInsert, TableConfig, Uniform
from acmelike.types import EnvironmentSpec

if TYPE_CHECKING:
    from acmelike.agents.dqn.learner import DQNCore


@dataclass(frozen=True, kw_only=True)
class DQNBuilder:
    """Makes the parts of one DQN agent.

    Only the learner's part imports JAX: actors, and whoever only makes a program, do
    without it.

    Attributes:
      config: the agent's settings.
    """

    config: DQNConfig

    name = "dqn"

    @property
    def batch_size(self) -> int:
        """Transitions of one call: a minibatch for each of its updates."""
        return self.config.batch_size * self.config.num_updates_per_call

    @property
    def num_updates_per_batch(self) -> int:
        """Updates of one call."""
        return self.config.num_updates_per_call

    def check(self, spec: EnvironmentSpec) -> None:
        """Refuses anything but one discrete action, and images of another layout."""
        num_discrete_actions(spec, agent="dqn")
        check_images(spec.observations.shape, agent="dqn")

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """One table of n-step transitions."""
        config = self.config
        error_buffer = config.error_buffer or max(
            2.0 * self.batch_size, config.samples_per_insert
        )
        return TableConfig(
            name="transitions",
            signature=transition_signature(spec),
            max_size=config.replay_size,
            sampler=(
                Prioritized(exponent=config.priority_exponent)
                if config.prioritized
                else Uniform()
            ),
            rate_limiter=SamplesPerInsert(
                ratio=config.samples_per_insert,
                min_size=config.min_replay_size,
                error_buffer=error_buffer,
            ),
        )

    def make_adder(self, num_envs: int) -> NStepAdder:
        """N-step transitions."""
        config = self.config
        return NStepAdder(
            num_envs=num_envs,
            n=config.n_step,
            discount=config.discount,
            initial_priority=initial_priority if config.actor_priorities else None,
        )

    def make_policy(self, spec: EnvironmentSpec, place: ActorPlace) -> EpsilonGreedy:
        """Epsilon-greedy, the epsilons falling over all environments of all actors."""
        epsilons = epsilon_ladder(
            self.config.epsilon,
            self.config.epsilon_alpha,
            first=place.index * place.num_envs,
            num_envs=place.num_envs,
            num_total=place.num_actors * place.num_envs,
        )
        return EpsilonGreedy(
            network=self._network(spec),
            epsilons=epsilons,
            tells_values=self.config.actor_priorities,
        )

    def make_greedy_policy(self, spec: EnvironmentSpec) -> EpsilonGreedy:
        """Greedy: an epsilon of zero."""
        return EpsilonGreedy(network=self._network(spec), epsilons=(0.0,))

    def make_learner_core(self, spec: EnvironmentSpec) -> DQNCore:
        """Double, dueling, n-step, prioritized: as the settings say."""
        from acmelike.agents.dqn.learner import DQNCore

        return DQNCore(
            config=self.config,
            network=self._network(spec),
            observation_shape=spec.observations.shape,
        )

    def _network(self, spec: EnvironmentSpec) -> QNetwork:
        return QNetwork(
            num_actions=num_discrete_actions(spec, agent="dqn"),
            hidden_sizes=self.config.hidden_sizes,
            dueling=self.config.dueling,
        )
