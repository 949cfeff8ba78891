"""Launchers: place the nodes of a program and drive them."""

from __future__ import annotations

from acmelike.errors import ConfigError, nearest
from acmelike.graph import Program
from acmelike.launchers.run import MakeScheduler, Run
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.launchers.turns import TurnScheduler

__all__ = ["LAUNCHERS", "Run", "check_launcher", "launch"]

LAUNCHERS: dict[str, MakeScheduler] = {
    "serial": TurnScheduler,
    "threads": lambda labels, ended, on_standstill: FreeScheduler(ended),
}


def launch(
    program: Program,
    launcher: str = "threads",
    *,
    stall_seconds: float = 10.0,
    grace_seconds: float = 4.0,
) -> Run:
    """Validates a program and starts it.

    Args:
      program: what to run.
      launcher: "serial", where nodes take turns and two runs are equal, or "threads".
      stall_seconds: without progress for so long, `threads` warns of a standstill.
      grace_seconds: how long nodes may take to end once the run does.

    Raises:
      ConfigError: an unknown launcher.
      GraphError: a fault of the program.
    """
    check_launcher(launcher)
    program.validate()
    return Run(
        program,
        LAUNCHERS[launcher],
        stall_seconds=stall_seconds,
        grace_seconds=grace_seconds,
    )


def check_launcher(launcher: str) -> None:
    """Raises ConfigError, with the nearest name, if there is no such launcher."""
    if launcher not in LAUNCHERS:
        known = ", ".join(LAUNCHERS)
        raise ConfigError(
            f"unknown launcher '{launcher}'{nearest(launcher, LAUNCHERS)} "
            f"(there are: {known})"
        )
