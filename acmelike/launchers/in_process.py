"""The launchers that stay in one process: `serial` and `threads`."""

from __future__ import annotations

import threading
from pathlib import Path

from acmelike.errors import Deadlock
from acmelike.graph import Program
from acmelike.launchers.nodes import LocalNodes, NodesSupervisor, describe_standstill
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.launchers.turns import TurnScheduler, label_order


def place_in_threads(
    program: Program,
    supervisor: NodesSupervisor,
    ended: threading.Event,
    logs: Path | None,
) -> LocalNodes:
    """A thread for every node, which runs whenever it can."""
    return LocalNodes(program.entries, FreeScheduler(ended), supervisor, ended)


def place_in_turn(
    program: Program,
    supervisor: NodesSupervisor,
    ended: threading.Event,
    logs: Path | None,
) -> LocalNodes:
    """A thread for every node, of which only that with the turn runs."""

    def stand_still() -> None:
        status = nodes.status()
        order = sorted(status, key=label_order)
        words = describe_standstill(status[label] for label in order)
        supervisor.break_off(Deadlock(words))

    labels = [entry.label for entry in program.entries.values()]
    scheduler = TurnScheduler(labels, ended, stand_still)
    nodes = LocalNodes(program.entries, scheduler, supervisor, ended)
    return nodes
