"""The processes of one name; each one replaces the last after its failure."""

from __future__ import annotations

import threading
from dataclasses import replace

from acmelike.core.status import NodeStatus
from acmelike.errors import ProcessDied
from acmelike.launchers.processes.process import Process
from acmelike.launchers.processes.restarts import Failure, Restarts


class Supervised:
    """The process of some nodes, which may be restarted.

    Args:
      process: the first of them.
      is_called: whether other nodes have edges to its nodes.

    Attributes:
      process: the present one, or the last until there is another.
      starting: a lock, held while another one is placed and started.
      starts_at: when the next is started, on the monotonic clock; None if none is due.
      failure: what a node reported, if its process was killed because of that.
      is_retired: whether its nodes are not wanted for now, so that its end is no
        failure.
      policy: of its nodes; None if the first failure ends the run.
      restarts: decides whether there is another process.
    """

    def __init__(self, process: Process, is_called: bool):
        self.process, self._is_called = process, is_called
        self.starting = threading.Lock()
        self.starts_at: float | None = None
        self.is_retired, self._num_returns = False, 0
        self.failure: Failure | None = None
        self.policy = next(iter(process.entries.values())).restart
        self.restarts = Restarts(self.policy)
        self._before: dict[str, NodeStatus] = {}

    @property
    def labels(self) -> list[str]:
        """The labels of its nodes."""
        return [entry.label for entry in self.process.entries.values()]

    @property
    def is_done(self) -> bool:
        """Whether its work has ended, and nobody calls its nodes."""
        is_over = self.process.has_worker and not self.process.has_work
        return is_over and not self._is_called

    def take_failure(self) -> Failure:
        """Why its process has ended: what a node reported, or how the process ended."""
        failure, self.failure = self.failure, None
        if failure is not None:
            return failure
        status = self.process.status.values()
        return Failure(
            label=self.labels[0],
            where="process",
            error=ProcessDied(self.process.how_it_ended),
            has_worked=any(node.num_steps for node in status),
        )

    def replace(self, process: Process) -> None:
        """Puts another process in the place of the last."""
        self._before, self.process = self._counts(), process
        self._num_returns += self.is_retired
        self.starts_at, self.is_retired, self.failure = None, False, None

    def status(self) -> dict[str, NodeStatus]:
        """The status of its nodes; their counters continue across restarts."""
        num_restarts = self.process.incarnation - self._num_returns
        nodes = self._counts()
        for label, node in nodes.items():
            host = self.process.seat.machine.name
            nodes[label] = replace(node, num_restarts=num_restarts, host=host)
            if self.is_retired:
                nodes[label] = _at_rest(nodes[label], "ended")
            elif self.starts_at is not None or label not in self.process.status:
                nodes[label] = _at_rest(nodes[label], "restarting")
        return nodes

    def _counts(self) -> dict[str, NodeStatus]:
        counts = dict(self._before)
        for label, node in self.process.status.items():
            before = self._before.get(label)
            counts[label] = node if before is None else node.after(before)
        return counts


def _at_rest(node: NodeStatus, phase: str) -> NodeStatus:
    return replace(
        node,
        phase=phase,
        waits_for="",
        reason="",
        doing="",
        working_seconds=0.0,
        spinning_seconds=0.0,
        parked=(),
        can_end_alone=False,
        memory_bytes=0,
    )
