"""Limits the length of episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import dm_env

from acmelike.checks import at_least, check_fields
from acmelike.environments.interface import EnvironmentFactory, make_rendering
from acmelike.environments.wrappers.restarting import refuse_vectors_inside
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper, wrapped
from acmelike.errors import ConfigError


class TimeLimit(EnvironmentWrapper):
    """An environment that truncates episodes which have not ended after some steps.

    Args:
      environment: the inner environment; `close` closes it.
      num_steps: the maximum number of steps of an episode.

    Raises:
      ConfigError: `num_steps` is less than 1.
    """

    def __init__(self, environment: dm_env.Environment, *, num_steps: int) -> None:
        if num_steps < 1:
            raise ConfigError(f"num_steps must be at least 1, not {num_steps}")
        self._num_steps, self._num_left = num_steps, num_steps
        super().__init__(environment, environment.observation_spec())

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode, even if the one of the inner environment has not ended."""
        return self.observe(self._environment.reset())

    def step(self, action: object) -> dm_env.TimeStep:
        """Takes one step; after a truncated episode, starts the next one."""
        return self.reset() if self._num_left == 0 else super().step(action)

    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Turns the step at the limit into a LAST one."""
        if step.first():
            self._num_left = self._num_steps
            return step
        self._num_left -= 1
        if self._num_left > 0:
            return step
        return step._replace(step_type=dm_env.StepType.LAST)


@dataclass(frozen=True, kw_only=True)
class TimeLimitFactory:
    """An `EnvironmentFactory` of `TimeLimit`.

    Attributes:
      inner: makes the inner environments.
      num_steps: the maximum number of steps of an episode.
    """

    inner: EnvironmentFactory
    num_steps: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_vectors_inside(
            self.inner,
            "a vectorised environment limits its episodes itself: leave out 'vec:' or "
            "'envpool:'",
        )

    def __call__(self, seed: int) -> TimeLimit:
        return wrapped(self.inner(seed), self._limit)

    def make_rendering(self, seed: int) -> TimeLimit:
        """Makes one environment that can draw itself, if the inner factory can."""
        return wrapped(make_rendering(self.inner, seed), self._limit)

    def _limit(self, environment: dm_env.Environment) -> TimeLimit:
        return TimeLimit(environment, num_steps=self.num_steps)
