"""Lists the programs, one line each; with `--pictures FOLDER` it draws them too."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from acmelike import programs
from acmelike.errors import ConfigError
from acmelike.experiments import run as experiment
from acmelike.experiments.cli import complain, parse, run_process


@dataclass(frozen=True, kw_only=True)
class Config:
    """The flags of the list.

    Attributes:
      pictures: draw the graph of each program, with its default settings, into this
        folder (as NAME.svg).
    """

    pictures: str | None = None


def main(args: Sequence[str] | None = None) -> int:
    """Prints the list; returns the exit status, 2 for a mistake of the user."""
    try:
        config = parse(
            Config,
            sys.argv[1:] if args is None else args,
            prog="python -m programs",
            description=__doc__ or "",
        )
        if config.pictures is not None:
            _make_folder(Path(config.pictures))
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    found = dict(_programs())
    width = max(map(len, found))
    for name, module in found.items():
        print(f"python -m programs.{name:{width}}  {_first_line(module)}")
    if config.pictures is None:
        print("python -m programs --pictures FOLDER  draws the graph of each into it")
        return 0
    return max(_draw(name, found[name], Path(config.pictures)) for name in found)


def _programs() -> Iterator[tuple[str, ModuleType]]:
    for info in pkgutil.iter_modules(programs.__path__):
        if not info.name.startswith("_"):
            yield info.name, importlib.import_module(f"acmelike.programs.{info.name}")


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None


def _draw(name: str, module: ModuleType, folder: Path) -> int:
    return experiment.main(
        module.Config,
        module.make_builder,
        name=name,
        description="",
        args=["--draw", str(folder / f"{name}.svg")],
    )


if __name__ == "__main__":
    run_process(main)
