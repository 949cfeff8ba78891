"""Environments: dm_env everywhere inside, adapters and vectors at the border."""

from acmelike.environments.actions import num_discrete_actions
from acmelike.environments.catch import Catch
from acmelike.environments.frame_stack import FrameStack, FrameStackFactory
from acmelike.environments.gymnasium_adapter import (
    GymnasiumEnvironment,
    GymnasiumFactory,
)
from acmelike.environments.gymnasium_vector import (
    GymnasiumVector,
    GymnasiumVectorFactory,
)
from acmelike.environments.interface import (
    EnvironmentFactory,
    MakesVectors,
    Vector,
    make_environment_spec,
)
from acmelike.environments.partial import PartialEnvironment
from acmelike.environments.registry import (
    CatchFactory,
    PartialFactory,
    make_environment_factory,
)
from acmelike.environments.time_limit import TimeLimit, TimeLimitFactory
from acmelike.environments.vector import (
    VectorEnvironment,
    make_vector_environment,
)

__all__ = [
    "Catch",
    "CatchFactory",
    "EnvironmentFactory",
    "FrameStack",
    "FrameStackFactory",
    "GymnasiumEnvironment",
    "GymnasiumFactory",
    "GymnasiumVector",
    "GymnasiumVectorFactory",
    "MakesVectors",
    "PartialEnvironment",
    "PartialFactory",
    "TimeLimit",
    "TimeLimitFactory",
    "Vector",
    "VectorEnvironment",
    "make_environment_factory",
    "make_environment_spec",
    "make_vector_environment",
    "num_discrete_actions",
]
