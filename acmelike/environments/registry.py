"""Finds environments by name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from acmelike.environments.adapters import atari, dm_control
from acmelike.environments.adapters.envpool import make_envpool_factory
from acmelike.environments.adapters.gymnasium import (
    GymnasiumFactory,
    make_gymnasium_factory,
)
from acmelike.environments.adapters.gymnasium_vector import (
    make_gymnasium_vector_factory,
)
from acmelike.environments.adapters.own import make_own_factory
from acmelike.environments.catch import CatchFactory
from acmelike.environments.interface import EnvironmentFactory
from acmelike.environments.signal_handlers import signal_handlers_kept
from acmelike.environments.wrappers.masked import MaskedObservationFactory
from acmelike.errors import ConfigError, first_line

_VECTORISED, _ENVPOOL = "vec:", "envpool:"

_BUILT_IN: dict[str, EnvironmentFactory] = {
    "Catch": CatchFactory(),
    # The positions of cart and pole, without their velocities: an agent needs memory.
    "CartPole-v1-positions": MaskedObservationFactory(
        inner=GymnasiumFactory(name="CartPole-v1"), indices=(0, 2)
    ),
}


@signal_handlers_kept()
def make_environment_factory(
    environment: str | Callable[..., Any], /, **arguments: Any
) -> EnvironmentFactory:
    """Returns the factory of an environment, which is a name, a class or a function.

    Known names:

      "Catch"                   the environment of this package
      "CartPole-v1-positions"   CartPole without the velocities of cart and pole
      "CartPole-v1"             an id in Gymnasium's registry
      "MinAtar/Breakout-v1"     the same, of MinAtar; needs the extra `minatar`
      "ALE/Pong-v5"             the same, of Atari, with the usual preprocessing; needs
                                the extra `atari`
      "HalfCheetah-v5"          the same, of MuJoCo; needs the extra `mujoco`
      "dm_control:cheetah-run"  domain and task of DeepMind's control suite; needs the
                                extra `dm_control`
      "module:id"               an id that the module registers when it is imported
      "module:factory"          a class or function of the module, see below
      "vec:CartPole-v1"         Gymnasium's vectorised version, which computes all
                                environments of an actor at once
      "envpool:CartPole-v1"     EnvPool; needs the extra `envpool`

    Observations of Atari are single frames. `train` stacks four of them; for an
    `Experiment` of your own, put a `FrameStackFactory` around.

    Args:
      environment: a name; or a class or function that makes environments of Gymnasium
        or dm_env. It gets a seed if it has an argument `seed`, or if it is a function
        that needs its first argument and no other, as an `EnvironmentFactory` does.
        It gets an `EnvironmentPlace` if it has an argument `environment_place`.
      arguments: of the environment's constructor, or of the class or function. Names of
        this package and of EnvPool take none.

    Raises:
      ConfigError: no environment has this name, or it cannot be made. To find out, an
        environment is made once and closed, unless it is one of this package.
    """
    if not isinstance(environment, str):
        _refuse_seed(arguments)
        return make_own_factory(_with(environment, arguments), name_of(environment))
    name = environment
    if name.startswith(atari.WITH_MODULE):
        name = name.partition(":")[2]
    if name.startswith(_VECTORISED):
        name = name.removeprefix(_VECTORISED)
        return make_gymnasium_vector_factory(name, arguments=arguments)
    if name.startswith(dm_control.PREFIX):
        name = name.removeprefix(dm_control.PREFIX)
        return dm_control.make_control_factory(name, arguments=arguments)
    is_of_envpool = name.startswith(_ENVPOOL)
    if arguments and (name in _BUILT_IN or is_of_envpool):
        raise ConfigError(
            f"environment '{name}' takes no arguments: {', '.join(arguments)}; write a "
            f"function that makes it with them"
        )
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if is_of_envpool:
        return make_envpool_factory(name.removeprefix(_ENVPOOL))
    own = _find_factory(name, arguments)
    return own or make_gymnasium_factory(
        name, arguments=arguments, other_names=_BUILT_IN
    )


def name_of(environment: Any) -> str:
    """The name of an environment, or of the class or function that makes it."""
    if isinstance(environment, str):
        return environment
    name = getattr(environment, "__name__", type(environment).__name__)
    return "a lambda" if name == "<lambda>" else str(name)


def _find_factory(name: str, arguments: Mapping[str, Any]) -> EnvironmentFactory | None:
    """The factory that "module:factory" names; None if the name is of another form.

    Raises:
      ConfigError: the module fails, or its class or function makes no environment.
    """
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier():  # Ids have a version, as in "module:Maze-v1".
        return None
    try:
        make: Any = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:  # It is the user's code.
        reason = first_line(error)
        raise ConfigError(f"environment '{name}' cannot be made: {reason}") from error
    if make is None:
        return None
    _refuse_seed(arguments)
    return make_own_factory(_with(make, arguments), name)


def _refuse_seed(arguments: Mapping[str, Any]) -> None:
    if "seed" in arguments:
        raise ConfigError(
            "leave seed out of environment_kwargs: each environment gets its own, from "
            "that of the run"
        )


def _with(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    return functools.partial(make, **arguments) if arguments else make
