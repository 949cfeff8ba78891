"""Launchers: place the nodes of a program and drive them."""

from __future__ import annotations

from pathlib import Path

from acmelike.errors import ConfigError, nearest
from acmelike.graph import Program
from acmelike.launchers.exposed import Endpoint
from acmelike.launchers.in_process import place_in_threads, place_in_turn
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.run import Launcher, Run

__all__ = ["LAUNCHERS", "Endpoint", "Run", "check_launcher", "launch"]

LAUNCHERS: dict[str, Launcher] = {
    "serial": place_in_turn,
    "threads": place_in_threads,
    "processes": ProcessNodes,
}


def launch(
    program: Program,
    launcher: str = "threads",
    *,
    check: bool = False,
    stall_seconds: float = 10.0,
    grace_seconds: float = 4.0,
    logs: Path | None = None,
) -> Run:
    """Validates a program and starts it.

        with launch(program, "serial") as run:
            print(run.wait())

    Args:
      program: what to run.
      launcher: "serial", where nodes take turns and two runs are equal; "threads"; or
        "processes", an interpreter for every node.
      check: under "serial", look for a forgotten `updating`: the run fails with the
        node, the attribute and both lines if a step sets outside `with updating(self)`
        what a method reads.
      stall_seconds: without progress for so long, a warning says who waits for what;
        `serial` finds out at once, and raises.
      grace_seconds: how long nodes may take to end once the run does.
      logs: the folder for what other processes print, each in a file of its own.

    Raises:
      ConfigError: an unknown launcher, `check` with another one than "serial", or a
        node that is exposed under "serial" or cannot be exposed where it should.
      GraphError: a fault of the program.
    """
    check_launcher(launcher)
    if check and launcher != "serial":
        raise ConfigError(
            f"check=True needs the launcher 'serial', where a run is the same every "
            f"time, not '{launcher}'"
        )
    program.validate()
    if launcher == "serial" and program.exposures:
        label = program.entry(next(iter(program.exposures))).label
        raise ConfigError(
            f"node '{label}' is exposed to other programs, and the launcher 'serial' "
            f"has no time that they could share: use 'threads' or 'processes'"
        )
    return Run(
        program,
        LAUNCHERS[launcher],
        stall_seconds=None if launcher == "serial" else stall_seconds,
        grace_seconds=grace_seconds,
        logs=logs,
        check=check,
    )


def check_launcher(launcher: str) -> None:
    """Raises ConfigError, with the nearest name, if there is no such launcher."""
    if launcher not in LAUNCHERS:
        known = ", ".join(LAUNCHERS)
        raise ConfigError(
            f"unknown launcher '{launcher}'{nearest(launcher, LAUNCHERS)} "
            f"(there are: {known})"
        )
