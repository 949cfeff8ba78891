"""What agents ask of an environment's actions."""

from __future__ import annotations

from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.types import EnvironmentSpec


def num_discrete_actions(spec: EnvironmentSpec, *, agent: str) -> int:
    """How many actions there are to choose one from.

    Raises:
      ConfigError: they are continuous; the message names the agent.
    """
    if not isinstance(spec.actions, specs.DiscreteArray):
        raise ConfigError(
            f"{agent} needs discrete actions; this environment's are continuous: "
            f"shape {spec.actions.shape}, {spec.actions.dtype}"
        )
    return int(spec.actions.num_values)
