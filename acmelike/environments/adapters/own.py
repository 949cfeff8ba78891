"""Adapts the classes and functions with which users make environments."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import dm_env
import gymnasium

from acmelike.environments.adapters.gymnasium import GymnasiumEnvironment
from acmelike.environments.interface import (
    SAME_AGAIN,
    EnvironmentFactory,
    RenderingFactory,
    VectorFactory,
)
from acmelike.environments.place import current_place
from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import ConfigError, first_line

_BY_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_PLACE, _MODE = "environment_place", "render_mode"

# The live environments that users' functions returned, by (function id, own id).
_returned: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()
_returned_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class OwnFactory:
    """An `EnvironmentFactory` of a class or a function of the user's.

    Attributes:
      make: returns a `dm_env.Environment` or a `gymnasium.Env`.
      seed_as: how it takes a seed: "first" as its first argument, "seed" as the one
        with this name, "none" not at all.
      takes_place: whether it has an argument `environment_place`.
      takes_mode: whether it has an argument `render_mode`, as Gymnasium's have.
    """

    make: Callable[..., Any]
    seed_as: str
    takes_place: bool = False
    takes_mode: bool = False

    def __call__(self, seed: int) -> dm_env.Environment:
        """Makes one environment.

        Raises:
          ConfigError: `make` returned neither kind, or an environment that it returned
            before or whose spaces are not supported.
        """
        return self._make(seed)

    def make_rendering(self, seed: int) -> dm_env.Environment:
        """Makes one environment that can draw itself, if it has a mode for that."""
        return self._make(seed, **({_MODE: "rgb_array"} if self.takes_mode else {}))

    def _make(self, seed: int, **named: Any) -> dm_env.Environment:
        first = [seed] if self.seed_as == "first" else []
        if self.seed_as == "seed":
            named["seed"] = seed
        if self.takes_place:
            named[_PLACE] = current_place()
        made = self.make(*first, **named)
        if not isinstance(made, gymnasium.Env | dm_env.Environment):
            raise ConfigError(
                f"it made a {type(made).__name__}, which is neither a gymnasium.Env "
                f"nor a dm_env.Environment"
            )
        self._check_new(made)
        if isinstance(made, gymnasium.Env):
            return wrapped(made, partial(GymnasiumEnvironment, seed=seed))
        return made

    def _check_new(self, made: Any) -> None:
        key = id(self.make), id(made)
        with _returned_lock:
            if _returned.get(key) is made:
                raise ConfigError(SAME_AGAIN)
            with suppress(TypeError):  # Some classes allow no weak references.
                _returned[key] = made


def make_own_factory(make: Callable[..., Any], name: str) -> EnvironmentFactory:
    """Makes a factory, and one environment with it as a check.

    Args:
      make: a class or a function that makes environments of Gymnasium or dm_env. It
        gets a seed if it has an argument `seed`, or if it is a function that needs its
        first argument and no other. It gets an `EnvironmentPlace` if it has an argument
        `environment_place`.
      name: of the class or function, for messages.

    Raises:
      ConfigError: `make` is an environment itself, or cannot make one.
    """
    if isinstance(make, gymnasium.Env | dm_env.Environment):
        raise ConfigError(
            f"environment {name} is one environment, and each actor needs its own: "
            f"pass a function that makes one, such as lambda: {type(make).__name__}()"
        )
    if not callable(make):
        raise ConfigError(
            f"environment must be a name, or a class or function that makes "
            f"environments: {make!r}"
        )
    parameters = _parameters(make)
    names = [parameter.name for parameter in parameters]
    factory = OwnFactory(
        make=make,
        seed_as=_how_it_takes_a_seed(make, name, parameters),
        takes_place=_PLACE in names,
        takes_mode=_MODE in names,
    )
    try:
        environment = factory(seed=0)
        environment.close()
    except ConfigError as error:
        raise ConfigError(f"environment '{name}': {error}") from None
    except (Exception, SystemExit) as error:  # It is the user's code.
        reason = first_line(error)
        raise ConfigError(f"environment '{name}' cannot be made: {reason}") from error
    # An object that is a factory already may do more than make one environment at a
    # time, so it is returned as it is; a plain function does no more.
    is_factory = (
        not inspect.isroutine(_called(make))
        and factory.seed_as == "first"
        and names[0] == "seed"  # Otherwise it could not be called with `seed=`.
        and not factory.takes_place
        and not factory.takes_mode
        and not isinstance(environment, GymnasiumEnvironment)
    )
    does_more = isinstance(make, VectorFactory | RenderingFactory)
    return make if is_factory or does_more else factory


def _called(make: Callable[..., Any]) -> Callable[..., Any]:
    """The class or function itself, without the arguments of a `partial`."""
    return make.func if isinstance(make, partial) else make


def _parameters(make: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):  # Such as for a class in C.
        return []


def _how_it_takes_a_seed(
    make: Callable[..., Any], name: str, parameters: list[inspect.Parameter]
) -> str:
    by_position = (inspect.Parameter.POSITIONAL_ONLY, _BY_EITHER)
    needed = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (*by_position, inspect.Parameter.KEYWORD_ONLY)
        and parameter.name not in (_PLACE, _MODE)
    ]
    first = parameters[0] if parameters else None
    is_class = inspect.isclass(_called(make))
    if first is not None and first.kind in by_position:
        if first.name != "seed" and needed == [first] and is_class:
            raise ConfigError(
                f"environment {name} needs '{first.name}', which is not called seed: "
                f"pass a function that gives it, such as "
                f"lambda seed: {name}({first.name}=...)"
            )
        if first.name == "seed" or needed == [first]:
            return "first"
    return "seed" if "seed" in [parameter.name for parameter in parameters] else "none"
