"""Environments whose episodes are cut off after so many steps."""

from __future__ import annotations

from dataclasses import dataclass

import dm_env

from acmelike.environments.interface import (
    EnvironmentFactory,
    VectorFactory,
    make_rendering,
)
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper
from acmelike.errors import ConfigError


class TimeLimit(EnvironmentWrapper):
    """An environment whose episodes are truncated, unless they have ended before.

    Args:
      environment: the one inside, which `close` closes.
      num_steps: the most steps of an episode.

    Raises:
      ConfigError: `num_steps` is less than one.
    """

    def __init__(self, environment: dm_env.Environment, *, num_steps: int) -> None:
        if num_steps < 1:
            raise ConfigError(f"num_steps must be at least 1, not {num_steps}")
        self._num_steps, self._num_left = num_steps, num_steps
        super().__init__(environment, environment.observation_spec())

    def reset(self) -> dm_env.TimeStep:
        """Begins an episode, even if that inside has not ended."""
        return self.observe(self._environment.reset())

    def step(self, action: object) -> dm_env.TimeStep:
        """Takes one step, or begins an episode after one that was cut off."""
        return self.reset() if self._num_left == 0 else super().step(action)

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """The step, the last one if it is one too many."""
        if step.first():
            self._num_left = self._num_steps
            return step
        self._num_left -= 1
        if self._num_left > 0:
            return step
        return step._replace(step_type=dm_env.StepType.LAST)


@dataclass(frozen=True, kw_only=True)
class TimeLimitFactory:
    """Makes environments with a limit; an `EnvironmentFactory`.

    Attributes:
      inner: makes the environments inside.
      num_steps: the most steps of an episode.
    """

    inner: EnvironmentFactory
    num_steps: int

    def __post_init__(self) -> None:
        if isinstance(self.inner, VectorFactory):
            raise ConfigError(
                "episodes of a vectorised environment have the limit of their own: "
                "leave out 'vec:' or 'envpool:'"
            )

    def __call__(self, seed: int) -> TimeLimit:
        """Makes one environment."""
        return TimeLimit(self.inner(seed), num_steps=self.num_steps)

    def make_rendering(self, seed: int) -> TimeLimit:
        """Makes one environment that renders, if those inside do."""
        return TimeLimit(make_rendering(self.inner, seed), num_steps=self.num_steps)
