"""The console command: `acmelike COMMAND ...`, or `python -m acmelike COMMAND ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from acmelike.errors import ConfigError, nearest
from acmelike.experiments.process import complain, run_process
from acmelike.version import __version__

_USAGE = """\
usage: acmelike COMMAND ...

  train PROGRAM ...            train an agent, and record the run in a folder
  programs                     list the programs
  draw PROGRAM --out FILE ...  draw the graph of a program's nodes
  evaluate RUN_FOLDER ...      play whole episodes with the policy that a run stored

  --version                    print the version
  --print-completion SHELL     print a script for tab completion, for bash or zsh:
                               source <(acmelike --print-completion bash)

PROGRAM is a name that `acmelike programs` lists, or a module of your own that has a
PROGRAM, such as my_package.my_program. `acmelike COMMAND --help` explains the flags of
a command, and `acmelike train PROGRAM --help` those of a program.
"""


def run() -> NoReturn:
    """The entry point: runs a command and exits the process with its status."""
    # A program or an environment may be a module in the current folder. `python -m`
    # finds it there first, and a console command would not look there.
    with suppress(FileNotFoundError):  # The current folder may have been removed.
        sys.path.insert(0, os.getcwd())
    run_process(main)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command that a command line names; returns the exit status.

    Args:
      args: the command line; the process's own if None.
    """
    command, *others = (sys.argv[1:] if args is None else [*args]) or ["--help"]
    try:
        return _run_command(command, others)
    except ConfigError as error:
        return complain(error)


def _run_command(command: str, args: list[str]) -> int:
    # Each command imports what it needs: together they need a second.
    if command in ("--help", "-h"):
        print(_USAGE, end="")
        return 0
    if command == "--version":
        print(f"acmelike {__version__}")
        return 0
    if command == "train":
        return _train(args)
    if command == "programs":
        from acmelike.experiments.listing import list_programs

        return list_programs(args)
    if command == "draw":
        return _draw(args)
    if command == "evaluate":
        from acmelike.experiments.evaluate import evaluate_command

        return evaluate_command(args)
    if command == "--print-completion":
        from acmelike.experiments.completion import completion_script

        print(completion_script(args[0] if args else ""), end="")
        return 0
    if command == "--complete":  # Called by the script for tab completion.
        from acmelike.experiments.completion import candidates

        print("\n".join(candidates(args or [""])))
        return 0
    from acmelike.experiments.completion import COMMANDS

    known = nearest(command, COMMANDS) or f"; there are {', '.join(COMMANDS)}"
    raise ConfigError(f"unknown command '{command}'{known}")


def _train(args: list[str]) -> int:
    from acmelike.experiments.command import train_command
    from acmelike.experiments.listing import program_lines
    from acmelike.experiments.program import find_program

    if args and args[0] in ("--help", "-h"):
        lines = "\n  ".join(program_lines())
        print(f"usage: acmelike train PROGRAM ...\n\n  {lines}\n")
        print("`acmelike train PROGRAM --help` explains the flags of a program.")
        return 0
    program = find_program(_program_name("train", args))
    return train_command(program, args[1:], prog=f"acmelike train {args[0]}")


def _draw(args: list[str]) -> int:
    from acmelike.experiments.command import train_command
    from acmelike.experiments.program import find_program

    if args and args[0] in ("--help", "-h"):
        print("usage: acmelike draw PROGRAM --out FILE ...\n")
        print(
            "Draw the graph of a program's nodes into a picture (.svg) or Mermaid text"
        )
        print("(.mmd, .md). Any flag of `acmelike train PROGRAM` may follow.")
        return 0
    program = find_program(_program_name("draw", args))
    # For `train`, --out is the folder of the run, and --draw is the file of a picture.
    flags = [
        "--draw" + arg.removeprefix("--out")
        if arg == "--out" or arg.startswith("--out=")
        else arg
        for arg in args[1:]
    ]
    if {"--help", "-h"} & {*flags}:
        print("With draw, --out is the file of the picture: .svg, .mmd or .md.\n")
    elif not any(flag.split("=")[0] == "--draw" for flag in flags):
        raise ConfigError("draw needs a file: acmelike draw PROGRAM --out FILE.svg")
    return train_command(program, flags, prog=f"acmelike draw {args[0]}")


def _program_name(command: str, args: list[str]) -> str:
    if not args or args[0].startswith("-"):
        raise ConfigError(
            f"{command} needs a program first: acmelike {command} PROGRAM ...; "
            "`acmelike programs` lists them"
        )
    return args[0]


if __name__ == "__main__":
    run()
