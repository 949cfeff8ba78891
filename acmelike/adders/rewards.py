"""Changes rewards on their way to an adder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from acmelike.adders.adder import Adder, AdderOutput
from acmelike.types import Array, VectorStep


class RewardAdder:
    """An `Adder` that scales and clips rewards, and passes steps to an inner adder.

    Args:
      adder: the inner adder.
      scale: rewards are multiplied by this.
      clip: scaled rewards are at most this and at least minus this; None for no limit.
    """

    def __init__(self, adder: Adder, *, scale: float, clip: float | None) -> None:
        self.span = adder.span
        self._adder, self._scale, self._clip = adder, np.float32(scale), clip

    def start(self, step: VectorStep) -> None:
        self._adder.start(step)  # No action led to this step: it has no reward.

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`."""
        reward = step_t.reward * self._scale
        if self._clip is not None:
            reward = reward.clip(-self._clip, self._clip)
        step_t = step_t._replace(reward=reward)
        return self._adder.add(a_tm1, version_tm1, step_t, extras_tm1)
