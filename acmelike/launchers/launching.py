"""Launches a program with the launcher of a name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from acmelike.errors import ConfigError, nearest
from acmelike.graph import Program
from acmelike.launchers.hosts.config import HostsConfig
from acmelike.launchers.in_process import place_in_threads, place_in_turn
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.ray.config import RayConfig
from acmelike.launchers.run import Launcher, Run

# The launchers for one host, which need no settings.
LAUNCHERS: dict[str, Launcher] = {
    "serial": place_in_turn,
    "threads": place_in_threads,
    "processes": ProcessNodes,
}


def launch(
    program: Program,
    launcher: str = "threads",
    *,
    hosts: HostsConfig | None = None,
    ray: RayConfig | None = None,
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
      launcher: "serial", where nodes take turns and two runs are equal; "threads";
        "processes", an interpreter for every node; "hosts", processes on several
        hosts; or "ray", processes on the hosts of a Ray cluster.
      hosts: for "hosts": the hosts, and where they meet. This host has rank 0.
      ray: for "ray": which Ray; None for RAY_ADDRESS or, if unset, the run's own Ray.
      check: under "serial", find a forgotten `updating`. If a step sets an attribute
        outside `with updating(self)` and a method reads it, the run fails and names
        the node, the attribute and both lines.
      stall_seconds: after so long without progress, a warning says which node waits
        for what; `serial` notices at once, and raises.
      grace_seconds: how long nodes may take to end after the run has ended.
      logs: the folder for what other processes print, each in a file of its own; it is
        created if it does not exist.

    Raises:
      ConfigError: the launcher is unknown, `check` is set without "serial", `hosts` is
        missing or has another rank, a host does not join, a node is exposed under
        "serial" or cannot be exposed where it should, or the folder for logs cannot be
        created.
      GraphError: the program has a fault.
    """
    check_launcher(launcher)
    if check and launcher != "serial":
        raise ConfigError(
            f"check=True needs the launcher 'serial', where a run is the same every "
            f"time, not '{launcher}'"
        )
    program.validate()
    if logs is not None:
        logs = Path(logs)
        try:
            logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"logs cannot be in {logs}: {error.strerror}") from None
    if launcher == "serial" and program.exposures:
        label = program.entry(next(iter(program.exposures))).label
        raise ConfigError(
            f"node '{label}' is exposed to other programs, and the launcher 'serial' "
            f"has no time that they could share: use 'threads' or 'processes'"
        )
    return Run(
        program,
        _find_launcher(launcher, hosts, ray),
        stall_seconds=None if launcher == "serial" else stall_seconds,
        grace_seconds=grace_seconds,
        logs=logs,
        check=check,
    )


def check_launcher(launcher: str) -> None:
    """Raises ConfigError, with the nearest name, if there is no such launcher."""
    names = (*LAUNCHERS, "hosts", "ray")
    if launcher not in names:
        known = ", ".join(names)
        raise ConfigError(
            f"unknown launcher '{launcher}'{nearest(launcher, names)} "
            f"(there are: {known})"
        )


def _find_launcher(
    launcher: str, hosts: HostsConfig | None, ray: RayConfig | None
) -> Launcher:
    for name, given in (("hosts", hosts), ("ray", ray)):
        if given is not None and launcher != name:
            raise ConfigError(f"{name}= is for the launcher '{name}', not '{launcher}'")
    if launcher == "ray":
        # Only here, as it needs TLS.
        from acmelike.launchers.ray.launcher import place_on_ray

        return partial(place_on_ray, config=ray or RayConfig())
    if launcher != "hosts":
        return LAUNCHERS[launcher]
    if hosts is None:
        raise ConfigError("the launcher 'hosts' needs hosts=HostsConfig(...)")
    if hosts.rank != 0:
        raise ConfigError(
            f"the host of rank 0 launches; on that of rank {hosts.rank} call join_run"
        )
    # Only here, as it needs TLS.
    from acmelike.launchers.hosts.launcher import place_on_hosts

    return partial(place_on_hosts, config=hosts)
