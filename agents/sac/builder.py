"""How the parts of SAC fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agent import ActorPlace
from acmelike.agents.sac.bounds import bounds_of
from acmelike.agents.sac.config import SACConfig
from acmelike.agents.sac.networks import PolicyNetwork, TwinCritics
from acmelike.agents.sac.policy import SquashedGaussian
from acmelike.replay import SamplesPerInsert, TableConfig, Uniform
from acmelike.types import EnvironmentSpec

if TYPE_CHECKING:
    from acmelike.agents.sac.learner import SACCore


@dataclass(frozen=True, kw_only=True)
class SACBuilder:
    """Makes the parts of one SAC agent.

    Only the learner's part imports JAX: actors, and whoever only makes a program, do
    without it.

    Attributes:
      config: the agent's settings.
    """

    config: SACConfig

    name = "sac"

    @property
    def batch_size(self) -> int:
        """Transitions of one call: a minibatch for each of its updates."""
        return self.config.batch_size * self.config.num_updates_per_call

    @property
    def num_updates_per_batch(self) -> int:
        """Updates of one call."""
        return self.config.num_updates_per_call

    def check(self, spec: EnvironmentSpec) -> None:
        """Refuses anything but continuous actions between finite bounds."""
        bounds_of(spec.actions, self.name)

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """One table of transitions, sampled uniformly."""
        config = self.config
        error_buffer = config.error_buffer or max(
            2.0 * self.batch_size, config.samples_per_insert
        )
        return TableConfig(
            name="transitions",
            signature=transition_signature(spec),
            max_size=config.replay_size,
            sampler=Uniform(),
            rate_limiter=SamplesPerInsert(
                ratio=config.samples_per_insert,
                min_size=config.min_replay_size,
                error_buffer=error_buffer,
            ),
        )

    def make_adder(self, num_envs: int) -> NStepAdder:
        """Transitions of one step."""
        return NStepAdder(num_envs=num_envs, n=1, discount=self.config.discount)

    def make_policy(self, spec: EnvironmentSpec, place: ActorPlace) -> SquashedGaussian:
        """The policy itself explores; all actors alike."""
        return self._policy(spec, is_greedy=False)

    def make_greedy_policy(self, spec: EnvironmentSpec) -> SquashedGaussian:
        """The action in the middle."""
        return self._policy(spec, is_greedy=True)

    def make_learner_core(self, spec: EnvironmentSpec) -> SACCore:
        """Twin critics, their targets, and a learned temperature."""
        from acmelike.agents.sac.learner import SACCore

        bounds = bounds_of(spec.actions, self.name)
        hidden_sizes = self.config.hidden_sizes
        return SACCore(
            config=self.config,
            policy=PolicyNetwork(num_actions=bounds.size, hidden_sizes=hidden_sizes),
            critics=TwinCritics(num_actions=bounds.size, hidden_sizes=hidden_sizes),
            bounds=bounds,
            observation_shape=spec.observations.shape,
        )

    def _policy(self, spec: EnvironmentSpec, *, is_greedy: bool) -> SquashedGaussian:
        bounds = bounds_of(spec.actions, self.name)
        network = PolicyNetwork(
            num_actions=bounds.size, hidden_sizes=self.config.hidden_sizes
        )
        return SquashedGaussian(network=network, bounds=bounds, is_greedy=is_greedy)
