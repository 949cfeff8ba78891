"""Environments: dm_env everywhere inside, adapters and vectors at the border."""

from acmelike.environments.catch import Catch
from acmelike.environments.gymnasium_adapter import (
    GymnasiumEnvironment,
    GymnasiumFactory,
)
from acmelike.environments.partial import PartialEnvironment
from acmelike.environments.registry import (
    CatchFactory,
    EnvironmentFactory,
    PartialFactory,
    make_environment_factory,
    make_environment_spec,
)
from acmelike.environments.vector import VectorEnvironment

__all__ = [
    "Catch",
    "CatchFactory",
    "EnvironmentFactory",
    "GymnasiumEnvironment",
    "GymnasiumFactory",
    "PartialEnvironment",
    "PartialFactory",
    "VectorEnvironment",
    "make_environment_factory",
    "make_environment_spec",
]
