"""What is done to rewards before an agent learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from acmelike.adders.adder import Adder, AdderOutput
from acmelike.checks import above, check_fields
from acmelike.types import Array, VectorStep


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """What is done to each reward of an environment; returns are of what it paid.

    Attributes:
      scale: it is multiplied by this.
      clip: then it is at most this and at least minus this; None for no limit. Mnih et
        al. 2015 clip those of Atari to 1, so that one learning rate fits all games.
    """

    scale: Annotated[float, above(0)] = 1.0
    clip: Annotated[float, above(0)] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


def with_rewards(adder: Adder, settings: RewardSettings) -> Adder:
    """The adder, or one that gets other rewards, if the settings change any."""
    return adder if settings == RewardSettings() else RewardAdder(adder, settings)


class RewardAdder:
    """An `Adder` that passes steps with other rewards to an inner one.

    Args:
      adder: the inner adder.
      settings: what is done to rewards.
    """

    def __init__(self, adder: Adder, settings: RewardSettings) -> None:
        self.span = adder.span
        self._adder, self._settings = adder, settings

    def start(self, step: VectorStep) -> None:
        self._adder.start(step)  # A step that nothing led to has no reward.

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`."""
        reward = step_t.reward * np.float32(self._settings.scale)
        if self._settings.clip is not None:
            reward = reward.clip(-self._settings.clip, self._settings.clip)
        step_t = step_t._replace(reward=reward)
        return self._adder.add(a_tm1, version_tm1, step_t, extras_tm1)
