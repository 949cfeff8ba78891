"""Launchers: place the nodes of a program and drive them."""

from __future__ import annotations

from pathlib import Path

from acmelike.errors import ConfigError, nearest
from acmelike.graph import Program
from acmelike.launchers.in_process import place_in_threads, place_in_turn
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.run import Launcher, Run

__all__ = ["LAUNCHERS", "Run", "check_launcher", "launch"]

LAUNCHERS: dict[str, Launcher] = {
    "serial": place_in_turn,
    "threads": place_in_threads,
    "processes": ProcessNodes,
}


def launch(
    program: Program,
    launcher: str = "threads",
    *,
    stall_seconds: float = 10.0,
    grace_seconds: float = 4.0,
    logs: Path | None = None,
) -> Run:
    """Validates a program and starts it.

    Args:
      program: what to run.
      launcher: "serial", where nodes take turns and two runs are equal; "threads"; or
        "processes", an interpreter for every node.
      stall_seconds: without progress for so long, a warning says who waits for what;
        `serial` finds out at once, and raises.
      grace_seconds: how long nodes may take to end once the run does.
      logs: the folder for what other processes print, each in a file of its own.

    Raises:
      ConfigError: an unknown launcher.
      GraphError: a fault of the program.
    """
    check_launcher(launcher)
    program.validate()
    return Run(
        program,
        LAUNCHERS[launcher],
        stall_seconds=None if launcher == "serial" else stall_seconds,
        grace_seconds=grace_seconds,
        logs=logs,
    )


def check_launcher(launcher: str) -> None:
    """Raises ConfigError, with the nearest name, if there is no such launcher."""
    if launcher not in LAUNCHERS:
        known = ", ".join(LAUNCHERS)
        raise ConfigError(
            f"unknown launcher '{launcher}'{nearest(launcher, LAUNCHERS)} "
            f"(there are: {known})"
        )
