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
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper
from acmelike.errors import ConfigError
from acmelike.types import Array


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
        super().__init__(environment, self._part_of(spec))

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Keeps only the shown elements of the observation."""
        return step._replace(observation=np.asarray(step.observation)[self._indices])

    def _part_of(self, spec: specs.Array) -> specs.Array:
        shape = (len(self._indices),)
        if not isinstance(spec, specs.BoundedArray):
            return specs.Array(shape, spec.dtype, spec.name)

        def part(bound: Array) -> Array:
            left: Array = np.broadcast_to(bound, spec.shape)[self._indices]
            return left

        return specs.BoundedArray(
            shape, spec.dtype, part(spec.minimum), part(spec.maximum), spec.name
        )


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
        return MaskedObservation(self.inner(seed), indices=self.indices)

    def make_rendering(self, seed: int) -> MaskedObservation:
        """Makes one environment that can draw itself, if the inner factory can."""
        return MaskedObservation(make_rendering(self.inner, seed), indices=self.indices)
