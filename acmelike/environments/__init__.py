"""Environments: the dm_env interface, vectors of environments, wrappers, adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.environments.actions import num_discrete_actions
    from acmelike.environments.adapters.dm_control import ControlFactory
    from acmelike.environments.adapters.gymnasium import (
        GymnasiumEnvironment,
        GymnasiumFactory,
    )
    from acmelike.environments.adapters.gymnasium_vector import (
        GymnasiumVector,
        GymnasiumVectorFactory,
    )
    from acmelike.environments.catch import Catch, CatchFactory
    from acmelike.environments.interface import (
        EnvironmentFactory,
        Vector,
        VectorFactory,
        make_environment_spec,
    )
    from acmelike.environments.nests import observation_shape
    from acmelike.environments.place import EnvironmentPlace
    from acmelike.environments.registry import make_environment_factory
    from acmelike.environments.vector import VectorEnvironment, make_vector_environment
    from acmelike.environments.wrappers.action_mask import (
        ActionMaskFromInfo,
        ActionMaskFromInfoFactory,
    )
    from acmelike.environments.wrappers.frame_stack import FrameStack, FrameStackFactory
    from acmelike.environments.wrappers.masked import (
        MaskedObservation,
        MaskedObservationFactory,
    )
    from acmelike.environments.wrappers.restarting import RestartingFactory
    from acmelike.environments.wrappers.step_timeout import (
        StepTimeout,
        StepTimeoutFactory,
    )
    from acmelike.environments.wrappers.time_limit import TimeLimit, TimeLimitFactory

_NAMES = {
    "acmelike.environments.actions": ("num_discrete_actions",),
    "acmelike.environments.adapters.dm_control": ("ControlFactory",),
    "acmelike.environments.adapters.gymnasium": (
        "GymnasiumEnvironment",
        "GymnasiumFactory",
    ),
    "acmelike.environments.adapters.gymnasium_vector": (
        "GymnasiumVector",
        "GymnasiumVectorFactory",
    ),
    "acmelike.environments.catch": ("Catch", "CatchFactory"),
    "acmelike.environments.interface": (
        "EnvironmentFactory",
        "Vector",
        "VectorFactory",
        "make_environment_spec",
    ),
    "acmelike.environments.nests": ("observation_shape",),
    "acmelike.environments.place": ("EnvironmentPlace",),
    "acmelike.environments.registry": ("make_environment_factory",),
    "acmelike.environments.vector": ("VectorEnvironment", "make_vector_environment"),
    "acmelike.environments.wrappers.action_mask": (
        "ActionMaskFromInfo",
        "ActionMaskFromInfoFactory",
    ),
    "acmelike.environments.wrappers.frame_stack": ("FrameStack", "FrameStackFactory"),
    "acmelike.environments.wrappers.masked": (
        "MaskedObservation",
        "MaskedObservationFactory",
    ),
    "acmelike.environments.wrappers.restarting": ("RestartingFactory",),
    "acmelike.environments.wrappers.step_timeout": (
        "StepTimeout",
        "StepTimeoutFactory",
    ),
    "acmelike.environments.wrappers.time_limit": ("TimeLimit", "TimeLimitFactory"),
}

__all__ = [
    "ActionMaskFromInfo",
    "ActionMaskFromInfoFactory",
    "Catch",
    "CatchFactory",
    "ControlFactory",
    "EnvironmentFactory",
    "EnvironmentPlace",
    "FrameStack",
    "FrameStackFactory",
    "GymnasiumEnvironment",
    "GymnasiumFactory",
    "GymnasiumVector",
    "GymnasiumVectorFactory",
    "MaskedObservation",
    "MaskedObservationFactory",
    "RestartingFactory",
    "StepTimeout",
    "StepTimeoutFactory",
    "TimeLimit",
    "TimeLimitFactory",
    "Vector",
    "VectorEnvironment",
    "VectorFactory",
    "make_environment_factory",
    "make_environment_spec",
    "make_vector_environment",
    "num_discrete_actions",
    "observation_shape",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
