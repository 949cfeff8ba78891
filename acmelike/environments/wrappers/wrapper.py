"""The base of wrappers that change the observations of an environment."""

from __future__ import annotations

import abc
from typing import Any

import dm_env
from dm_env import specs

from acmelike.types import NestedSpec


class EnvironmentWrapper(dm_env.Environment):  # type: ignore[misc]  # no types
    """Passes everything through to an inner environment but its time steps.

    Args:
      environment: the inner environment; `close` closes it.
      spec: of the observations that `observe` returns.
    """

    def __init__(self, environment: dm_env.Environment, spec: NestedSpec) -> None:
        self._environment, self._spec = environment, spec

    @abc.abstractmethod
    def observe(self, step: dm_env.TimeStep) -> dm_env.TimeStep:
        """Changes a time step of the inner environment."""

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
