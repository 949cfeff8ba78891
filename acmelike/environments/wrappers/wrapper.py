"""The base of wrappers of environments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import dm_env
import numpy as np
from dm_env import specs

from acmelike.types import Array, MultiDiscreteArray, NestedSpec


class Closable(Protocol):
    """An object that can be closed: an environment, or several as one vector."""

    def close(self) -> Any: ...


E = TypeVar("E", bound=Closable)
W = TypeVar("W")


class EnvironmentWrapper(dm_env.Environment):  # type: ignore[misc]  # no types
    """Passes everything through to an inner environment; `observe` may change steps.

    Args:
      environment: the inner environment; `close` closes it.
      spec: of the observations that `observe` returns.

    Attributes:
      num_stacked_frames: how many frames an observation has, if the inner environment
        stacks them; otherwise 1.
    """

    def __init__(self, environment: dm_env.Environment, spec: NestedSpec) -> None:
        self._environment, self._spec = environment, spec
        self.num_stacked_frames: int = num_stacked_frames(environment)

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Returns a time step of the inner environment, possibly changed."""
        return step

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        return self.observe(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step."""
        return self.observe(self._environment.step(action))

    def observation_spec(self) -> NestedSpec:
        """The spec of the changed observations."""
        return self._spec

    def action_spec(self) -> specs.Array:
        """The spec of the inner environment."""
        return self._environment.action_spec()

    def reward_spec(self) -> specs.Array:
        """The spec of the inner environment."""
        return self._environment.reward_spec()

    def discount_spec(self) -> specs.Array:
        """The spec of the inner environment."""
        return self._environment.discount_spec()

    def render(self) -> Any:
        """Renders the inner environment."""
        return self._environment.render()

    @property
    def frames_per_second(self) -> Any:
        """The rate at which rendered pictures are meant to be shown."""
        return self._environment.frames_per_second

    def close(self) -> None:
        """Closes the inner environment."""
        self._environment.close()


def num_stacked_frames(environment: dm_env.Environment) -> int:
    """How many frames an observation of an environment has; 1 if it stacks none.

    Only wrappers of this package count: a wrapper of another package may pass the
    attribute of its inner environment on, although it changes the observations.
    """
    if not isinstance(environment, EnvironmentWrapper):
        return 1
    return environment.num_stacked_frames


def innermost(environment: dm_env.Environment) -> dm_env.Environment:
    """The environment inside all wrappers of this package."""
    while isinstance(environment, EnvironmentWrapper):
        environment = environment._environment
    return environment


def wrapped(environment: E, wrap: Callable[[E], W]) -> W:
    """Returns `wrap(environment)`; closes the environment if `wrap` raises."""
    try:
        return wrap(environment)
    except BaseException:
        with suppress(Exception):
            environment.close()
        raise


def reshaped_spec(
    spec: specs.Array, shape: tuple[int, ...], change: Callable[[Array], Array]
) -> specs.Array:
    """The spec of arrays that are made from arrays of another spec.

    Args:
      spec: of the arrays that they are made from.
      shape: of the new ones.
      change: makes an array of this shape from one of the old shape; it is used for the
        bounds.
    """
    if not isinstance(spec, specs.BoundedArray):
        return specs.Array(shape, spec.dtype, spec.name)
    low, high = (
        change(np.broadcast_to(bound, spec.shape))
        for bound in (spec.minimum, spec.maximum)
    )
    is_multi = isinstance(spec, MultiDiscreteArray)
    kind = MultiDiscreteArray if is_multi else specs.BoundedArray
    return kind(shape, spec.dtype, low, high, spec.name)
