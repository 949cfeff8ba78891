"""What is done to rewards before an agent learns from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from acmelike.checks import above, check_fields


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """What is done to each reward before learning; recorded returns are without it.

    Attributes:
      scale: each reward is multiplied by it.
      clip: rewards are clipped to [-clip, clip], after they were scaled; None for no
        limit. Mnih et al. 2015 clip those of Atari to 1, so that one learning rate fits
        all games.
    """

    scale: Annotated[float, above(0)] = 1.0
    clip: Annotated[float, above(0)] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
