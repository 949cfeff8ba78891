"""SAC's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from acmelike.agent import ActorPlace, Agent, PolicyInputs, import_agent
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.settings import ReplaySettings
from acmelike.agents.parts.transitions import ContinuousBuilder
from acmelike.checks import FINITE, above, at_least, between, check_fields
from acmelike.networks import NetworkSource
from acmelike.policies import normal_noise
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class SACConfig:
    """Soft actor-critic.

    Attributes:
      network: from observations to features, one for the policy and one for each
        critic: "auto", "mlp", "minatar", "impala_resnet", or a flax module of your own
        as "my_module:MyNetwork".
      hidden_sizes: units of each hidden layer, of the policy and of both critics.
      discount: of the agent, for one step.
      learning_rate: of Adam, for policy, critics and temperature.
      target_rate: how far the target critics move towards the critics in an update.
      initial_temperature: the weight of entropy at the start, in reward.
      target_entropy: the entropy at which the temperature holds the policy, with
        actions measured from -1 to 1; None for minus the number of action dimensions.
      batch_size: transitions of one update.
      num_updates_per_call: updates made in one compiled call.
      replay: of transitions.
    """

    network: NetworkSource = "auto"
    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (256, 256)
    discount: Annotated[float, between(0, 1)] = 0.99
    learning_rate: Annotated[float, above(0)] = 1e-3
    target_rate: Annotated[float, between(0, 1)] = 0.005
    initial_temperature: Annotated[float, above(0)] = 1.0
    target_entropy: Annotated[float, FINITE] | None = None
    batch_size: Annotated[int, at_least(1)] = 256
    num_updates_per_call: Annotated[int, at_least(1)] = 8
    replay: ReplaySettings = field(
        default_factory=lambda: ReplaySettings(size=1_000_000, samples_per_insert=256.0)
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class SACBuilder(ContinuousBuilder):
    """Makes the parts of one SAC agent; implements `Builder`.

    Attributes:
      config: the agent's settings.
    """

    config: SACConfig

    name = "sac"

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        """The policy itself explores; all actors alike."""
        size = bounds_of(spec.actions, self.name).size
        return PolicyInputs(noise=partial(normal_noise, size=size))

    def make_agent(self, spec: EnvironmentSpec) -> Agent:
        factory = "acmelike.agents.sac.learner:make_sac"
        return import_agent(factory, self.config, spec)
