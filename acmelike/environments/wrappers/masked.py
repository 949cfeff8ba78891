"""Hides elements of observations, so that an agent needs memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import dm_env
import numpy as np
from dm_env import specs

from acmelike.checks import at_least, check_fields
from acmelike.environments.interface import EnvironmentFactory, make_rendering
from acmelike.environments.wrappers.wrapper import (
    EnvironmentWrapper,
    reshaped_spec,
    wrapped,
)
from acmelike.errors import ConfigError


class MaskedObservation(EnvironmentWrapper):
    """An environment that shows only some elements of its observations.

    Args:
      environment: the inner environment, with vectors as observations; `close` closes
        it.
      indices: of the elements that are shown, in this order.

    Raises:
      ConfigError: the observations are not vectors, or an index is out of range.
    """

    def __init__(
        self, environment: dm_env.Environment, *, indices: Sequence[int]
    ) -> None:
        spec = environment.observation_spec()
        if not isinstance(spec, specs.Array) or len(spec.shape) != 1:
            is_one = isinstance(spec, specs.Array)
            shape = f"shape {spec.shape}" if is_one else "several arrays"
            raise ConfigError(
                f"only vectors can be masked, not observations of {shape}"
            )
        if not indices or not all(0 <= index < spec.shape[0] for index in indices):
            raise ConfigError(
                f"indices must be some of the elements 0 to {spec.shape[0] - 1}, "
                f"not {tuple(indices)}"
            )
        self._indices = np.array(indices)
        shown = reshaped_spec(spec, (len(indices),), lambda whole: whole[self._indices])
        super().__init__(environment, shown)
        self.num_stacked_frames = 1  # Elements of a stack are not a stack.

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Keeps only the shown elements of the observation."""
        return step._replace(observation=np.asarray(step.observation)[self._indices])


@dataclass(frozen=True, kw_only=True)
class MaskedObservationFactory:
    """An `EnvironmentFactory` of `MaskedObservation`.

    Attributes:
      inner: makes the inner environments.
      indices: of the elements of an observation that are shown.
    """

    inner: EnvironmentFactory
    indices: Annotated[tuple[int, ...], at_least(0)]

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, seed: int) -> MaskedObservation:
        return wrapped(self.inner(seed), self._mask)

    def make_rendering(self, seed: int) -> MaskedObservation:
        """Makes one environment that can draw itself, if the inner factory can."""
        return wrapped(make_rendering(self.inner, seed), self._mask)

    def _mask(self, environment: dm_env.Environment) -> MaskedObservation:
        return MaskedObservation(environment, indices=self.indices)
