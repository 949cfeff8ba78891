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
from acmelike.environments.nests import Leaves
from acmelike.environments.wrappers.restarting import refuse_vectors_inside
from acmelike.environments.wrappers.wrapper import (
    EnvironmentWrapper,
    reshaped_spec,
    wrapped,
)
from acmelike.errors import ConfigError
from acmelike.types import Array


class FrameStack(EnvironmentWrapper):
    """An environment that shows its last F observations, `[F, ...]`, the newest last.

    At the beginning of an episode the first observation takes the place of those that
    are missing. Observations without an axis of colours, `[H, W]`, get one:
    `[F, H, W, 1]`.

    Args:
      environment: the inner environment; `close` closes it.
      num_frames: F.

    Attributes:
      num_stacked_frames: F; `make_environment_spec` reads it.

    Raises:
      ConfigError: `num_frames` is less than 1, or an observation is not one array.
    """

    def __init__(self, environment: dm_env.Environment, *, num_frames: int) -> None:
        if num_frames < 1:
            raise ConfigError(f"num_frames must be at least 1, not {num_frames}")
        spec = environment.observation_spec()
        if not isinstance(spec, specs.Array):
            raise ConfigError(
                "frames of several arrays cannot be stacked: leave out frame_stack, or "
                "pick one array by a wrapper of your own"
            )
        self._frames: deque[Array] = deque(maxlen=num_frames)
        self._inner = Leaves(spec)
        super().__init__(environment, _stacked_spec(spec, num_frames))
        self.num_stacked_frames = num_frames

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Stacks the observation on those before it.

        Raises:
          ValueError: the observation breaks the spec of the inner environment.
        """
        # It is copied because an environment may reuse the memory of an observation.
        frame, frames = np.array(self._inner.of(step.observation)[0]), self._frames
        frames.append(frame)
        if step.first():
            frames.extend([frame] * (self._spec.shape[0] - 1))
        return step._replace(observation=np.stack(frames).reshape(self._spec.shape))


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
