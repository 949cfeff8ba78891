"""SAC's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from acmelike.agents.parts.transitions import ContinuousBuilder, ContinuousConfig
from acmelike.checks import FINITE, above


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
    """Makes the parts of one SAC agent; implements `Builder`."""

    config: SACConfig
    name = "sac"
    factory = "acmelike.agents.sac.learner:SAC"
