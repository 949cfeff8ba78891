"""Replaces environments that have failed by new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import dm_env

from acmelike.checks import at_least, check_fields
from acmelike.environments.interface import (
    EnvironmentFactory,
    make_rendering,
    refuse_vectors,
)
from acmelike.environments.vector import VectorEnvironment
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RestartingFactory:
    """A `VectorFactory` of environments that are replaced when they fail.

    Attributes:
      inner: makes the environments.
      max_restarts: how often in each vector; the next failure is an `EnvironmentFault`.
        A new environment that cannot be made or reset uses up another restart.
    """

    inner: EnvironmentFactory
    max_restarts: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_vectors(
            self.inner,
            "a vectorised environment cannot be made again in part: leave out 'vec:' "
            "or 'envpool:', or restart_environments",
        )

    def __call__(self, seed: int) -> dm_env.Environment:
        return self.inner(seed)

    def make_vector(self, *, num_envs: int, seed: int) -> VectorEnvironment:
        """Makes K environments."""
        return VectorEnvironment(
            self.inner, num_envs=num_envs, seed=seed, max_restarts=self.max_restarts
        )

    def make_rendering(self, seed: int) -> dm_env.Environment:
        """Makes one environment that can draw itself, if the inner factory can."""
        return make_rendering(self.inner, seed)


def refuse_vectors_inside(factory: EnvironmentFactory, why: str) -> None:
    """Refuses a factory of vectors for a wrapper, which has one environment inside.

    Args:
      factory: of the environments that are wrapped.
      why: the message, with what to do instead.

    Raises:
      ConfigError: the factory makes vectors.
    """
    if isinstance(factory, RestartingFactory):
        raise ConfigError(
            "RestartingFactory steps its environments as one vector, which cannot be "
            "wrapped: put RestartingFactory around this one"
        )
    refuse_vectors(factory, why)
