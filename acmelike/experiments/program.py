"""Training programs: an agent, flags with defaults, and a name to start them by."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from acmelike.errors import ConfigError, first_line, nearest
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.process import tell

if TYPE_CHECKING:
    from acmelike.agent import Builder

C = TypeVar("C", bound=ExperimentConfig[Any])
T = TypeVar("T")

_OWN = "acmelike.programs"


@dataclass(frozen=True, kw_only=True)
class TrainingProgram(Generic[C]):
    """A program that trains an agent; a module has one as `PROGRAM`.

    `acmelike train NAME` and `python -m MODULE` run it.

    Attributes:
      name: names folders of runs, and the program in messages.
      description: what `--help` shows; the first line is shown in lists.
      make_config: makes the flags, with this program's defaults. It is called after the
        process was prepared, because settings import NumPy, which must not start
        threads of its own.
      make_builder: makes the agent's builder from the flags that the user gave.
    """

    name: str
    description: str | None
    make_config: Callable[[], C]
    make_builder: Callable[[C], Builder]

    @functools.cached_property
    def config(self) -> C:
        """The flags, with this program's defaults."""
        return _without_exit(f"make_config of {self.name}", self.make_config)

    def builder(self, config: C) -> Builder:
        """Makes the agent's builder.

        Raises:
          ConfigError: a setting is wrong, or `make_builder` exits.
        """
        make = functools.partial(self.make_builder, config)
        return _without_exit(f"make_builder of {self.name}", make)

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return (self.description or "").strip().partition("\n")[0]

    @property
    def config_type(self) -> type[C]:
        """The class of the flags, with the type of the agent's settings filled in."""
        kind: Any = type(self.config)
        return kind[type(self.config.agent)] if kind.__parameters__ else kind  # type: ignore[no-any-return]


def _without_exit(name: str, function: Callable[[], T]) -> T:
    """Calls a function of the user's, which must not end the process."""
    try:
        return function()
    except SystemExit as end:
        raise ConfigError(f"{name} exits: {first_line(end)}") from end


def program_names() -> list[str]:
    """The names of the programs that are installed with acmelike."""
    package = importlib.import_module(_OWN)
    names = (info.name for info in pkgutil.iter_modules(package.__path__))
    return [name for name in names if not name.startswith("_")]


def find_program(name: str) -> TrainingProgram[Any]:
    """Imports the module of a program.

    Args:
      name: of one of acmelike's programs, such as "dqn"; or of a module that has a
        `PROGRAM`, such as "my_package.my_program".

    Raises:
      ConfigError: there is no such program; in one line.
    """
    names = program_names()
    if name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.has_location:  # Not a folder of that name.
            tell(
                f"note: {name} is a program of acmelike's, and that one is used; the "
                f"module '{name}' needs another name to be run",
                sys.stderr,
            )
        module = importlib.import_module(f"{_OWN}.{name}")
    elif _exists(name):
        module = _import(name)
    elif name.endswith(".py"):
        path = name.removesuffix(".py").removeprefix("./")
        is_here = not path.startswith(("/", ".."))
        dotted = path.replace("/", ".") if is_here else "my_package.my_program"
        raise ConfigError(
            f"give the program as a module that can be imported, such as {dotted}, not "
            f"'{name}'"
        )
    else:
        known = nearest(name, names) or f"; there are {', '.join(names)}"
        raise ConfigError(f"unknown program '{name}'{known}")
    program = getattr(module, "PROGRAM", None)
    if not isinstance(program, TrainingProgram):
        raise ConfigError(f"module '{name}' has no PROGRAM that is a TrainingProgram")
    return program


def _exists(module: str) -> bool:
    parts = module.split(".")
    if parts[-1] == "py" or not all(part.isidentifier() for part in parts):
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):  # Its package does not exist.
            return False
        raise _cannot_import(module, error) from error
    except (Exception, SystemExit) as error:
        raise _cannot_import(module, error) from error


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # It is the user's code.
        raise _cannot_import(name, error) from error


def _cannot_import(name: str, error: BaseException) -> ConfigError:
    return ConfigError(f"cannot import '{name}': {first_line(error)}")
