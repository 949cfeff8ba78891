"""The console command: `acmelike COMMAND ...`, or `python -m acmelike COMMAND ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from acmelike.errors import ConfigError, nearest
from acmelike.experiments.cli import complain, run_process

_COMMANDS = ("evaluate",)
_USAGE = """usage: acmelike COMMAND ...

  evaluate RUN_FOLDER    play whole episodes with the policy that a run left

`acmelike COMMAND --help` explains its settings.
"""


def run() -> NoReturn:
    """The entry point: runs a command and exits the process with its status."""
    # A run's environment may be of a module in the current folder, where `python -m`
    # finds it and a console command would not.
    sys.path.append("")
    run_process(main)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command that a command line names; returns the exit status.

    Args:
      args: the command line; the process's own if None.
    """
    command, *others = (sys.argv[1:] if args is None else [*args]) or ["--help"]
    if command in ("--help", "-h"):
        print(_USAGE, end="")
        return 0
    if command not in _COMMANDS:
        known = nearest(command, _COMMANDS) or f"; there is {', '.join(_COMMANDS)}"
        return complain(ConfigError(f"unknown command '{command}'{known}"))
    from acmelike.experiments import evaluate

    return evaluate.main(others)


if __name__ == "__main__":
    run()
