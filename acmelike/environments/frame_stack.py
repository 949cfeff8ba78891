"""Environments that show their last observations together, the oldest first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acmelike.environments.interface import EnvironmentFactory, MakesVectors
from acmelike.errors import ConfigError
from acmelike.types import Array


class FrameStack(dm_env.Environment):  # type: ignore[misc]  # no types
    """An environment whose observations are its last F, `[F, ...]`, the newest last.

    Before an episode has F of them the first stands for those that are missing. Frames
    without colours, `[H, W]`, get an axis for them: `[F, H, W, 1]`.

    Args:
      environment: the one inside, which `close` closes.
      num_frames: F.

    Raises:
      ConfigError: `num_frames` is less than one.
    """

    def __init__(self, environment: dm_env.Environment, *, num_frames: int) -> None:
        if num_frames < 1:
            raise ConfigError(f"num_frames must be at least 1, not {num_frames}")
        self._environment = environment
        self._frames: deque[Array] = deque(maxlen=num_frames)
        self._spec = self._stacked_spec(environment.observation_spec(), num_frames)

    def reset(self) -> dm_env.TimeStep:
        """Begins an episode."""
        return self._stacked(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step."""
        return self._stacked(self._environment.step(action))

    def observation_spec(self) -> specs.Array:
        """That inside F times, with its bounds."""
        return self._spec

    def action_spec(self) -> specs.Array:
        """As inside."""
        return self._environment.action_spec()

    def reward_spec(self) -> specs.Array:
        """As inside."""
        return self._environment.reward_spec()

    def discount_spec(self) -> specs.Array:
        """As inside."""
        return self._environment.discount_spec()

    def close(self) -> None:
        """Closes the environment inside."""
        self._environment.close()

    def _stacked(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        frames = self._frames
        # Of its own memory, as an environment may write to its observation again.
        frames.append(np.array(step.observation))
        if step.first():
            frames.extend([frames[-1]] * (self._spec.shape[0] - 1))
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
      whole: makes the environments inside.
      num_frames: F.
    """

    whole: EnvironmentFactory
    num_frames: int

    def __post_init__(self) -> None:
        if isinstance(self.whole, MakesVectors):
            raise ConfigError(
                "frames of a vectorised environment cannot be stacked: "
                "leave out 'vec:' or 'envpool:'"
            )

    def __call__(self, seed: int) -> FrameStack:
        """Makes one environment."""
        return FrameStack(self.whole(seed), num_frames=self.num_frames)
