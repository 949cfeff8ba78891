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
      ConfigError: the actions are continuous.
    """
    if not isinstance(spec.actions, specs.DiscreteArray):
        raise ConfigError(
            f"{agent} needs discrete actions; this environment's are continuous: "
            f"shape {spec.actions.shape}, {spec.actions.dtype}"
        )
    return int(spec.actions.num_values)
