"""Stacks the last observations of an environment, the oldest first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated

import dm_env
import numpy as np
from dm_env import specs

from acmelike.checks import at_least, check_fields
from acmelike.environments.interface import EnvironmentFactory, make_rendering
from acmelike.environments.nests import Leaves, check_observation_spec, plain
from acmelike.environments.vector import make_vector_environment
from acmelike.environments.wrappers.restarting import refuse_vectors_inside
from acmelike.environments.wrappers.wrapper import (
    EnvironmentWrapper,
    reshaped_spec,
    wrapped,
)
from acmelike.errors import ConfigError
from acmelike.types import Array, EnvironmentSpec, is_stacked


class FrameStack(EnvironmentWrapper):
    """An environment that shows its last F observations, `[F, ...]`, the newest last.

    At the beginning of an episode the first observation takes the place of the missing
    ones. Observations without an axis of colours, `[H, W]`, get one: `[F, H, W, 1]`. If
    there are several arrays, each is stacked. An action mask is not stacked: only the
    newest is shown, `[M]`.

    Args:
      environment: the inner environment; `close` closes it.
      num_frames: F.

    Attributes:
      num_stacked_frames: F; `make_environment_spec` reads it.

    Raises:
      ConfigError: `num_frames` is less than 1, or as `check_observation_spec`.
    """

    def __init__(self, environment: dm_env.Environment, *, num_frames: int) -> None:
        if num_frames < 1:
            raise ConfigError(f"num_frames must be at least 1, not {num_frames}")
        spec = plain(environment.observation_spec())
        check_observation_spec(spec)
        self._inner = Leaves(spec)
        # For each array: the frames that it shows, and the shape of their stack.
        self._frames: list[deque[Array]] = []
        self._shapes: list[tuple[int, ...]] = []
        stacked = []
        for path, leaf in zip(self._inner.paths, self._inner.specs, strict=True):
            if is_stacked(path):
                leaf = _stacked_spec(leaf, num_frames)
            self._frames.append(deque(maxlen=num_frames if is_stacked(path) else 1))
            self._shapes.append(leaf.shape)
            stacked.append(leaf)
        super().__init__(environment, self._inner.joined(stacked))
        self.num_stacked_frames = num_frames

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Stacks the observation on those before it.

        Raises:
          ValueError: the observation breaks the spec of the inner environment.
        """
        arrays = self._inner.of(step.observation)
        num_new = self.num_stacked_frames if step.first() else 1
        stacks = []
        parts = zip(arrays, self._frames, self._shapes, strict=True)
        for array, frames, shape in parts:
            # A copy, because an environment may reuse the memory of an observation.
            frames.extend([np.array(array)] * num_new)
            stacks.append(np.stack(frames).reshape(shape))
        return step._replace(observation=self._inner.joined(stacks))


def _stacked_spec(spec: specs.Array, num_frames: int) -> specs.Array:
    colours = (1,) if len(spec.shape) == 2 else ()
    shape = (num_frames, *spec.shape, *colours)
    return reshaped_spec(
        spec, shape, lambda frame: np.stack([frame.reshape(shape[1:])] * num_frames)
    )


@dataclass(frozen=True, kw_only=True)
class FrameStackFactory:
    """An `EnvironmentFactory` of `FrameStack`.

    Attributes:
      inner: makes the inner environments.
      num_frames: F, the number of stacked observations.
    """

    inner: EnvironmentFactory
    num_frames: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_vectors_inside(
            self.inner,
            "frames of a vectorised environment cannot be stacked: leave out 'vec:' or "
            "'envpool:'",
        )

    def __call__(self, seed: int) -> FrameStack:
        return wrapped(self.inner(seed), self._stack)

    def make_rendering(self, seed: int) -> FrameStack:
        """Makes one environment that can draw itself, if the inner factory can."""
        return wrapped(make_rendering(self.inner, seed), self._stack)

    def _stack(self, environment: dm_env.Environment) -> FrameStack:
        return FrameStack(environment, num_frames=self.num_frames)


def stacked_like(
    factory: EnvironmentFactory, spec: EnvironmentSpec
) -> EnvironmentFactory:
    """Returns a factory of environments that stack as many frames as a spec has.

    The factory is returned as it is if its observations are stacked already, by
    `FrameStack` or in another way. To find out, one environment is made and closed.

    Args:
      factory: makes the environments.
      spec: of other environments, such as those that a policy was trained in.

    Raises:
      ConfigError: as `make_vector_environment`, or `factory` makes vectors whose
        observations are not stacked.
    """
    if spec.num_frames == 1:
        return factory
    vector = make_vector_environment(factory, num_envs=1, seed=0)
    vector.close()
    if vector.spec.num_frames > 1 or _shapes(vector.spec) == _shapes(spec):
        return factory
    return FrameStackFactory(inner=factory, num_frames=spec.num_frames)


def _shapes(spec: EnvironmentSpec) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in Leaves(spec.observations).specs]
