"""SAC's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.transitions import ContinuousBuilder, ContinuousConfig
from acmelike.checks import FINITE, above
from acmelike.policies import normal_noise
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class SACConfig(ContinuousConfig):
    """Soft actor-critic.

    Attributes:
      initial_temperature: the weight of entropy at the start, in reward.
      target_entropy: the entropy at which the temperature holds the policy, with
        actions measured from -1 to 1; None for minus the number of action dimensions.
    """

    initial_temperature: Annotated[float, above(0)] = 1.0
    target_entropy: Annotated[float, FINITE] | None = None


@dataclass(frozen=True, kw_only=True)
class SACBuilder(ContinuousBuilder):
    """Makes the parts of one SAC agent; implements `Builder`.

    Attributes:
      config: the agent's settings.
    """

    config: SACConfig

    name = "sac"
    factory = "acmelike.agents.sac.learner:make_sac"

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        """The policy itself explores; all actors alike."""
        size = bounds_of(spec.actions, self.name).size
        return PolicyInputs(noise=partial(normal_noise, size=size))
