"""The launchers that stay in one process: `serial` and `threads`."""

from __future__ import annotations

import threading
from pathlib import Path

from acmelike.errors import Deadlock
from acmelike.graph import Program
from acmelike.launchers.exposed import exposed_nodes
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.nodes import LocalNodes, describe_deadlock, started_entries
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.launchers.turns import TurnScheduler, label_order
from acmelike.rpc import Authority, Identity


def place_in_threads(
    program: Program,
    supervisor: ProgramSupervisor,
    ended: threading.Event,
    logs: Path | None,
    check: bool,
) -> LocalNodes:
    """Places each node in a thread, which runs whenever it can."""
    entries = started_entries(program)
    nodes = LocalNodes(entries, FreeScheduler(ended), supervisor, ended)
    identity = None
    if any(exposure.tls for exposure in program.exposures.values()):
        authority, identity = Authority(), Identity()
        identity.take(authority.sign(identity.public_key))
    nodes.expose(exposed_nodes(program), identity)
    return nodes


def place_in_turn(
    program: Program,
    supervisor: ProgramSupervisor,
    ended: threading.Event,
    logs: Path | None,
    check: bool,
) -> LocalNodes:
    """Places each node in a thread; only the thread whose turn it is runs."""

    def on_deadlock() -> None:
        status = nodes.status()
        order = sorted(status, key=label_order)
        words = describe_deadlock(status[label] for label in order)
        supervisor.fail_run(Deadlock(words))

    entries = started_entries(program)
    labels = [entry.label for entry in entries.values()]
    scheduler = TurnScheduler(labels, ended, on_deadlock)
    nodes = LocalNodes(entries, scheduler, supervisor, ended, check=check)
    return nodes
