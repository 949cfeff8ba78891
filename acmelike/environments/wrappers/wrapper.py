"""An environment around another, to change a part of what it shows."""

from __future__ import annotations

import abc
from typing import Any

import dm_env
from dm_env import specs


class EnvironmentWrapper(dm_env.Environment):  # type: ignore[misc]  # no types
    """Shows the environment inside as it is; subclasses change its observations.

    Args:
      environment: the one inside, which `close` closes.
      spec: of what `observe` makes of its observations.
    """

    def __init__(self, environment: dm_env.Environment, spec: specs.Array) -> None:
        self._environment, self._spec = environment, spec

    @abc.abstractmethod
    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """The step as it is shown."""

    def reset(self) -> dm_env.TimeStep:
        """Begins an episode."""
        return self.observe(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step."""
        return self.observe(self._environment.step(action))

    def observation_spec(self) -> specs.Array:
        """Of what is shown."""
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

    def render(self) -> Any:
        """As inside, if that renders."""
        return self._environment.render()

    @property
    def frames_per_second(self) -> Any:
        """As inside, if that says so."""
        return self._environment.frames_per_second

    def close(self) -> None:
        """Closes the environment inside."""
        self._environment.close()
