"""How the parts of R2D2 fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from dm_env import specs

from acmelike.adders import SequenceAdder, sequence_signature
from acmelike.agent import ActorPlace
from acmelike.agents.dqn.policy import epsilon_ladder
from acmelike.agents.r2d2.config import R2D2Config
from acmelike.agents.r2d2.networks import Memory, RecurrentQNetwork
from acmelike.agents.r2d2.policy import RecurrentEpsilonGreedy
from acmelike.environments import num_discrete_actions
from acmelike.networks import check_images
from acmelike.replay import Prioritized, SamplesPerInsert, TableConfig
from acmelike.types import EnvironmentSpec

if TYPE_CHECKING:
    from acmelike.agents.r2d2.learner import R2D2Core


@dataclass(frozen=True, kw_only=True)
class R2D2Builder:
    """Makes the parts of one R2D2 agent.

    Only the learner's part imports JAX: actors, and whoever only makes a program, do
    without it.

    Attributes:
      config: the agent's settings.
    """

    config: R2D2Config

    name = "r2d2"

    @property
    def batch_size(self) -> int:
        """Sequences of one call: a minibatch for each of its updates."""
        return self.config.batch_size * self.config.num_updates_per_call

    @property
    def num_updates_per_batch(self) -> int:
        """Updates of one call."""
        return self.config.num_updates_per_call

    def check(self, spec: EnvironmentSpec) -> None:
        """Refuses anything but one discrete action, and images of another layout."""
        num_discrete_actions(spec, agent="r2d2")
        check_images(spec.observations.shape, agent="r2d2")

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """One table of sequences, with the memory before each."""
        config = self.config
        error_buffer = config.error_buffer or max(
            2.0 * self.batch_size, config.samples_per_insert
        )
        memory = Memory(
            hidden=specs.Array((config.num_units,), np.float32),
            cell=specs.Array((config.num_units,), np.float32),
            action=specs.Array((), np.int32),
        )
        return TableConfig(
            name="sequences",
            signature=sequence_signature(
                spec, config.sequence_length, first_extras=memory._asdict()
            ),
            max_size=config.replay_size,
            sampler=Prioritized(exponent=config.priority_exponent),
            rate_limiter=SamplesPerInsert(
                ratio=config.samples_per_insert,
                min_size=config.min_replay_size,
                error_buffer=error_buffer,
            ),
        )

    def make_adder(self, num_envs: int) -> SequenceAdder:
        """Sequences that overlap and end with their episode."""
        config = self.config
        return SequenceAdder(
            num_envs=num_envs,
            length=config.sequence_length,
            period=config.sequence_length - config.overlap,
            at_end="shift",
            first_extras=Memory._fields,
        )

    def make_policy(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> RecurrentEpsilonGreedy:
        """Epsilon-greedy, the epsilons falling over all environments of all actors."""
        epsilons = epsilon_ladder(
            self.config.epsilon,
            self.config.epsilon_alpha,
            first=place.index * place.num_envs,
            num_envs=place.num_envs,
            num_total=place.num_actors * place.num_envs,
        )
        return RecurrentEpsilonGreedy(
            network=self._network(spec), epsilons=epsilons, tells_memory=True
        )

    def make_greedy_policy(self, spec: EnvironmentSpec) -> RecurrentEpsilonGreedy:
        """Greedy: an epsilon of zero."""
        return RecurrentEpsilonGreedy(network=self._network(spec), epsilons=(0.0,))

    def make_learner_core(self, spec: EnvironmentSpec) -> R2D2Core:
        """Burn-in, n-step double Q and priorities, as the settings say."""
        from acmelike.agents.r2d2.learner import R2D2Core

        return R2D2Core(
            config=self.config,
            network=self._network(spec),
            observation_shape=spec.observations.shape,
        )

    def _network(self, spec: EnvironmentSpec) -> RecurrentQNetwork:
        return RecurrentQNetwork(
            num_actions=num_discrete_actions(spec, agent="r2d2"),
            torso_sizes=self.config.torso_sizes,
            num_units=self.config.num_units,
            dueling=self.config.dueling,
        )
