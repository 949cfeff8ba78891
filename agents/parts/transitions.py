"""A table of one-step transitions with continuous actions. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.builders import OffPolicyBuilder, check_inputs
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.checks import above, at_least, between, check_fields
from acmelike.networks import NetworkSource
from acmelike.policies import normal_noise, zero_noise
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class ContinuousConfig:
    """The settings that all agents with continuous actions have.

    Attributes:
      network: from observations to features, one for the policy and one for each
        critic: "auto", "mlp", "minatar", "nature", "impala_resnet", or a flax module of
        your own as "my_module:MyNetwork".
      embedding_size: numbers in the vector that is learned for each category of an
        observation; 0 for one-hot.
      hidden_sizes: units of each hidden layer, of the policy and of both critics.
      normalize_observations: mean zero and variance one, over all batches so far; an
        item counts as often as it was sampled. Categories and bytes stay as they are.
      discount: of the agent, for one step.
      target_rate: how far the target networks move in an update.
      batch_size: transitions of one update.
      num_updates_per_call: updates made in one compiled call.
      optimizer: of each network, and of all else that is learned. The policy of TD3 has
        fewer updates than its critics, so the policy's learning rate decays later.
      replay: of transitions.
    """

    network: NetworkSource = "auto"
    embedding_size: Annotated[int, at_least(0)] = 0
    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (256, 256)
    normalize_observations: bool = False
    discount: Annotated[float, between(0, 1)] = 0.99
    target_rate: Annotated[float, between(0, 1)] = 0.005
    batch_size: Annotated[int, at_least(1)] = 256
    num_updates_per_call: Annotated[int, at_least(1)] = 8
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(
            final_fraction=1.0, max_gradient_norm=None
        )
    )
    replay: ReplaySettings = field(
        default_factory=lambda: ReplaySettings(size=1_000_000, samples_per_insert=256.0)
    )

    def __post_init__(self) -> None:
        check_fields(self)


class ContinuousBuilder(OffPolicyBuilder):
    """A builder of an agent with continuous actions, greedy where its noise is zero."""

    config: ContinuousConfig

    def check(self, spec: EnvironmentSpec) -> None:
        check_inputs(self.name, spec, self.config)
        bounds_of(spec.actions, self.name)

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """One-step transitions, sampled uniformly."""
        return self.config.replay.make_table(
            "transitions", transition_signature(spec), items_per_call=self.batch_size
        )

    def make_adder(self, num_envs: int) -> NStepAdder:
        return NStepAdder(num_envs=num_envs, n=1, discount=self.config.discount)

    @property
    def noise_scale(self) -> float:
        """Deviation of the noise at actors; one where the policy itself is random."""
        return 1.0

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        """All actors explore in the same way."""
        size, scale = bounds_of(spec.actions, self.name).size, self.noise_scale
        return PolicyInputs(noise=partial(normal_noise, size=size, scale=scale))

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        size = bounds_of(spec.actions, self.name).size
        return PolicyInputs(noise=partial(zero_noise, size=size))
