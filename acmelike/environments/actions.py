"""Checks of action specs that several agents need."""

from __future__ import annotations

from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.types import EnvironmentSpec


def num_discrete_actions(spec: EnvironmentSpec, *, agent: str) -> int:
    """The number of discrete actions.

    Args:
      spec: of the environment.
      agent: the name of the agent, for the message.

    Raises:
      ConfigError: the actions are continuous, or several at a time.
    """
    if not isinstance(spec.actions, specs.DiscreteArray):
        raise ConfigError(
            f"{agent} needs discrete actions, one at a time; this environment's have "
            f"the shape {spec.actions.shape} and are {spec.actions.dtype}"
        )
    return int(spec.actions.num_values)
