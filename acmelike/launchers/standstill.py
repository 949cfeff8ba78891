"""Says aloud when a whole program stands still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from acmelike.core.status import NodeStatus
from acmelike.launchers.nodes import describe_standstill
from acmelike.launchers.turns import label_order

logger = logging.getLogger("acmelike")


class StandstillWatch(threading.Thread):
    """Warns, once for each time it happens, that no node has moved for a while.

    The words are those of `Deadlock`; here they are no error, because a caller outside
    the program may still make the call that everybody waits for.

    Args:
      status: of every node, by label.
      ended: set when the run ends.
      stall_seconds: how long nothing may happen.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, NodeStatus]],
        ended: threading.Event,
        stall_seconds: float,
    ):
        super().__init__(name="standstill watch", daemon=True)
        self._status, self._ended, self._stall_seconds = status, ended, stall_seconds

    def run(self) -> None:
        period = min(1.0, self._stall_seconds / 4)
        before: object = None
        since, warned = time.monotonic(), False
        while not self._ended.wait(period):
            status = self._status()
            nodes = [status[label] for label in sorted(status, key=label_order)]
            counts = [(node.num_steps, node.num_calls) for node in nodes]
            moment = counts if all_wait(nodes) else None
            if moment is None or moment != before:
                before, since, warned = moment, time.monotonic(), False
            elif not warned and time.monotonic() - since >= self._stall_seconds:
                logger.warning(
                    "no progress for %.0f s: %s",
                    self._stall_seconds,
                    describe_standstill(nodes),
                )
                warned = True


def all_wait(nodes: list[NodeStatus]) -> bool:
    """Whether every worker waits, and for nothing that time alone will end."""
    at_rest = ("serving", "ended", "failed")
    workers = [node for node in nodes if node.phase not in at_rest]
    return bool(workers) and all(
        node.phase == "waiting" and not node.is_timed for node in workers
    )
