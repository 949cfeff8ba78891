"""`acmelike programs`: lists the programs, and draws them if asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acmelike.errors import ConfigError
from acmelike.experiments.draw import draw
from acmelike.experiments.flags import parse
from acmelike.experiments.process import or_status
from acmelike.experiments.program import find_program, program_names


@dataclass(frozen=True, kw_only=True)
class ListingConfig:
    """The flags of `acmelike programs`.

    Attributes:
      pictures: draw the graph of each program, with its default settings, into this
        folder (as NAME.svg).
    """

    pictures: str | None = None


def list_programs(args: Sequence[str]) -> int:
    """Prints a line for each program; returns the exit status, 2 for a mistake."""
    return or_status(partial(_list, args))


def _list(args: Sequence[str]) -> int:
    config = parse(
        ListingConfig,
        args,
        prog="acmelike programs",
        description="List the programs that are installed with acmelike.",
    )
    folder = None if config.pictures is None else _make_folder(config.pictures)
    print("\n".join(program_lines()))
    if folder is not None:
        return _draw_all(folder)
    print("acmelike programs --pictures FOLDER  draws the graph of each into it")
    return 0


def program_lines() -> list[str]:
    """For each program, how to run it and what it is."""
    names = program_names()
    width = max(map(len, names))
    return [
        f"acmelike train {name:{width}}  {find_program(name).summary}" for name in names
    ]


def _make_folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    return folder


def _draw_all(folder: Path) -> int:
    programs = map(find_program, program_names())
    return max(
        draw(program, program.config, str(folder / f"{program.name}.svg"))
        for program in programs
    )
