"""Says aloud when a whole program stands still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from acmelike.launchers.turns import describe_standstill
from acmelike.metrics import NodeMetrics, Wait

logger = logging.getLogger("acmelike")


class StandstillWatch(threading.Thread):
    """Warns, once for each time it happens, that no node has moved for a while.

    The words are those of `Deadlock`; here they are no error, because a caller outside
    the program may still make the call that everybody waits for.

    Args:
      nodes: the counters of every node.
      ended: set when the run ends.
      stall_seconds: how long nothing may happen.
    """

    def __init__(
        self, nodes: Sequence[NodeMetrics], ended: threading.Event, stall_seconds: float
    ):
        super().__init__(name="standstill watch", daemon=True)
        self._nodes, self._ended, self._stall_seconds = nodes, ended, stall_seconds

    def run(self) -> None:
        period = min(1.0, self._stall_seconds / 4)
        before: list[int] | None = None
        since, warned = time.monotonic(), False
        while not self._ended.wait(period):
            waits = waits_of_all(self._nodes)
            # A node that moved waits for another call than it did before.
            moment = None if waits is None else [id(wait) for _, wait in waits]
            if moment is None or moment != before:
                before, since, warned = moment, time.monotonic(), False
            elif not warned and time.monotonic() - since >= self._stall_seconds:
                logger.warning(
                    "no progress for %.0f s: %s",
                    self._stall_seconds,
                    describe_standstill(waits or []),
                )
                warned = True


def waits_of_all(nodes: Sequence[NodeMetrics]) -> list[tuple[str, Wait]] | None:
    """(label, wait) of every worker, or None if one can move or a timer is set."""
    waits = []
    for node in nodes:
        wait = node.waits_for
        if wait is not None and wait.deadline is None:
            waits.append((node.label, wait))
        elif node.phase not in ("serving", "ended", "failed"):
            return None
    return waits or None
