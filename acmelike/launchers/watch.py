"""Warns when a program makes no progress, or when a step or constructor takes long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from acmelike.core.status import NodeStatus
from acmelike.launchers.nodes import describe_deadlock
from acmelike.launchers.turns import label_order

logger = logging.getLogger("acmelike")


class ProgressWatch(threading.Thread):
    """Checks the status of all nodes every second, and logs what is unusual.

    - No node has moved for `stall_seconds`, and all of them wait: said once each time.
      The words are those of `Deadlock`, but it is no error, because a caller outside
      the program may still make the call that the nodes wait for.
    - A constructor or a step works for more than ten seconds, or steps spin without
      waiting for anything: said once for the constructor and once for the steps of
      each node.

    Args:
      status: of every node, by label.
      ended: set when the run ends.
      stall_seconds: how long nothing may happen; None for a launcher that finds a
        deadlock itself.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, NodeStatus]],
        ended: threading.Event,
        stall_seconds: float | None,
    ):
        super().__init__(name="progress watch", daemon=True)
        self._status, self._ended, self._stall_seconds = status, ended, stall_seconds
        # By label, and whether it was in its constructor: its steps may hang later.
        self._named: set[tuple[str, bool]] = set()
        self._moment: object = None
        self._since, self._has_warned = time.monotonic(), False

    def run(self) -> None:
        period = min(1.0, (self._stall_seconds or 4.0) / 4)
        while not self._ended.wait(period):
            status = self._status()
            nodes = [status[label] for label in sorted(status, key=label_order)]
            self._name_slow_steps(nodes)
            if self._stall_seconds is not None:
                self._look_for_stall(nodes, self._stall_seconds)

    def _name_slow_steps(self, nodes: list[NodeStatus]) -> None:
        for node in nodes:
            what = node.label, node.phase == "starting"
            if node.slow_step and what not in self._named:
                self._named.add(what)
                logger.warning("node '%s' has been %s", node.label, node.slow_step)

    def _look_for_stall(self, nodes: list[NodeStatus], stall_seconds: float) -> None:
        found = [(node.num_steps, node.num_calls, node.waits_for) for node in nodes]
        moment = found if all_wait(nodes) else None
        if moment is None or moment != self._moment:
            self._moment, self._since = moment, time.monotonic()
            self._has_warned = False
        elif not self._has_warned and time.monotonic() - self._since >= stall_seconds:
            words = describe_deadlock(nodes)
            logger.warning("no progress for %.0f s: %s", stall_seconds, words)
            self._has_warned = True


def all_wait(nodes: list[NodeStatus]) -> bool:
    """Whether every worker waits for something that only another node can end."""
    at_rest = ("serving", "ended", "failed")
    workers = [node for node in nodes if node.phase not in at_rest]
    return bool(workers) and all(
        node.phase == "waiting" and not node.can_end_alone for node in workers
    )
