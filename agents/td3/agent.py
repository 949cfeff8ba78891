"""TD3's settings, and the builder that makes its parts. Imports no JAX."""

from dataclasses import dataclass
from typing import Annotated

from acmelike.agents.parts.transitions import ContinuousBuilder, ContinuousConfig
from acmelike.checks import at_least


@dataclass(frozen=True, kw_only=True)
class TD3Config(ContinuousConfig):
    """Twin delayed deep deterministic policy gradients.

    Attributes:
      exploration: deviation of the noise on actions, which are from -1 to 1.
      smoothing: deviation of the noise on the target policy's actions.
      smoothing_clip: the limit that this noise is clipped to.
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

    @property
    def noise_scale(self) -> float:
        return self.config.exploration
