"""Environments that show their last observations together, the oldest first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import dm_env
import numpy as np
from dm_env import specs

from acmelike.environments.interface import (
    EnvironmentFactory,
    VectorFactory,
    make_rendering,
)
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper
from acmelike.errors import ConfigError
from acmelike.types import Array


class FrameStack(EnvironmentWrapper):
    """An environment whose observations are its last F, `[F, ...]`, the newest last.

    Before an episode has F of them the first stands for those that are missing. Frames
    without colours, `[H, W]`, get an axis for them: `[F, H, W, 1]`.

    Args:
      environment: the one inside, which `close` closes.
      num_frames: F.

    Attributes:
      num_stacked_frames: F, for the environment's specification.

    Raises:
      ConfigError: `num_frames` is less than one.
    """

    def __init__(self, environment: dm_env.Environment, *, num_frames: int) -> None:
        if num_frames < 1:
            raise ConfigError(f"num_frames must be at least 1, not {num_frames}")
        self.num_stacked_frames = num_frames
        self._inside = environment.observation_spec()
        self._frames: deque[Array] = deque(maxlen=num_frames)
        super().__init__(environment, self._stacked_spec(self._inside, num_frames))

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """The step with its frame and those before.

        Raises:
          ValueError: the frame is not what the environment inside says.
        """
        # Of its own memory, as an environment may write to its observation again.
        frame, inside = np.array(step.observation), self._inside
        if (frame.shape, frame.dtype) != (inside.shape, inside.dtype):
            raise ValueError(
                f"an observation is {frame.shape} {frame.dtype}, the specification "
                f"says {inside.shape} {inside.dtype}"
            )
        frames = self._frames
        frames.append(frame)
        if step.first():
            frames.extend([frame] * (self._spec.shape[0] - 1))
        return step._replace(observation=np.stack(frames).reshape(self._spec.shape))

    @staticmethod
    def _stacked_spec(spec: specs.Array, num_frames: int) -> specs.Array:
        colours = (1,) if len(spec.shape) == 2 else ()
        shape = (num_frames, *spec.shape, *colours)
        if not isinstance(spec, specs.BoundedArray):
            return specs.Array(shape, spec.dtype, spec.name)

        def stacked(bound: Array) -> Array:
            whole = np.broadcast_to(bound, spec.shape).reshape(shape[1:])
            return np.stack([whole] * num_frames)

        return specs.BoundedArray(
            shape, spec.dtype, stacked(spec.minimum), stacked(spec.maximum), spec.name
        )


@dataclass(frozen=True, kw_only=True)
class FrameStackFactory:
    """Makes environments that show their last frames; an `EnvironmentFactory`.

    Attributes:
      inner: makes the environments inside.
      num_frames: F.
    """

    inner: EnvironmentFactory
    num_frames: int

    def __post_init__(self) -> None:
        if isinstance(self.inner, VectorFactory):
            raise ConfigError(
                "frames of a vectorised environment cannot be stacked: "
                "leave out 'vec:' or 'envpool:'"
            )

    def __call__(self, seed: int) -> FrameStack:
        """Makes one environment."""
        return FrameStack(self.inner(seed), num_frames=self.num_frames)

    def make_rendering(self, seed: int) -> FrameStack:
        """Makes one environment that renders, if those inside do."""
        whole = make_rendering(self.inner, seed)
        return FrameStack(whole, num_frames=self.num_frames)
