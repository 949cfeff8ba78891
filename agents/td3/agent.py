"""TD3's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.transitions import ContinuousBuilder, ContinuousConfig
from acmelike.checks import at_least
from acmelike.policies import normal_noise
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class TD3Config(ContinuousConfig):
    """Twin delayed deep deterministic policy gradients.

    Attributes:
      exploration: deviation of the noise on actions, which are from -1 to 1.
      smoothing: deviation of the noise on the target policy's actions.
      smoothing_clip: the largest such noise.
      policy_period: updates of the critics for each of the policy.
    """

    exploration: Annotated[float, at_least(0)] = 0.1
    smoothing: Annotated[float, at_least(0)] = 0.2
    smoothing_clip: Annotated[float, at_least(0)] = 0.5
    policy_period: Annotated[int, at_least(1)] = 2


@dataclass(frozen=True, kw_only=True)
class TD3Builder(ContinuousBuilder):
    """Makes the parts of one TD3 agent; implements `Builder`."""

    config: TD3Config
    name = "td3"
    factory = "acmelike.agents.td3.learner:TD3"

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        size, scale = bounds_of(spec.actions, "td3").size, self.config.exploration
        return PolicyInputs(noise=partial(normal_noise, size=size, scale=scale))
