"""What an environment is to acmelike: its factory, its specs, and K of them as one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import dm_env
import numpy as np
from numpy.typing import ArrayLike

from acmelike.types import Array, EnvironmentSpec, VectorStep


class EnvironmentFactory(Protocol):
    """Makes environments that differ in their seed; a value that can be pickled."""

    def __call__(self, seed: int) -> dm_env.Environment:
        """Makes one environment.

        Args:
          seed: decides everything that is random in the environment.
        """


class Vector(Protocol):
    """K environments stepped as one.

    Attributes:
      num_envs: K.
      spec: the specs of one environment, without the leading K.
    """

    num_envs: int
    spec: EnvironmentSpec

    def reset(self) -> VectorStep:
        """Begins an episode in every environment."""

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment, or begins its next episode where the last ended."""

    def close(self) -> None:
        """Closes the environments."""


@runtime_checkable
class VectorFactory(Protocol):
    """An `EnvironmentFactory` that makes K environments as one by itself."""

    def make_vector(self, *, num_envs: int, seed: int) -> Vector:
        """Makes K environments; see `make_vector_environment`."""


@runtime_checkable
class Renderable(Protocol):
    """An environment that draws itself."""

    def render(self) -> Any:
        """A picture of its state, `[H, W, 3]` uint8."""


@runtime_checkable
class RenderingFactory(Protocol):
    """A factory whose environments draw themselves only if they are made for it."""

    def make_rendering(self, seed: int) -> dm_env.Environment:
        """Makes one environment that renders."""


def make_rendering(factory: EnvironmentFactory, seed: int) -> dm_env.Environment:
    """Makes one environment, which renders if it can."""
    if isinstance(factory, RenderingFactory):
        return factory.make_rendering(seed)
    return factory(seed)


def make_environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    """What an environment says of its arrays."""
    return EnvironmentSpec(
        observations=environment.observation_spec(),
        actions=environment.action_spec(),
        rewards=environment.reward_spec(),
        discounts=environment.discount_spec(),
        num_frames=getattr(environment, "num_stacked_frames", 1),
    )


def check_actions(actions: ArrayLike, spec: EnvironmentSpec, num_envs: int) -> Array:
    """A copy of actions `[K, ...]`, of the spec's dtype.

    Raises:
      TypeError: they are not of that dtype's kind.
      ValueError: they have another shape.
    """
    shape = (num_envs, *spec.actions.shape)
    # A copy, because an environment may clip its action in place.
    owned = np.asarray(actions).astype(spec.actions.dtype, casting="same_kind")
    if owned.shape != shape:
        raise ValueError(
            f"actions have the shape {owned.shape}, "
            f"{num_envs} environments need {shape}"
        )
    return owned
