"""How the threads of a run wait: what the launchers differ in, and nothing else."""

from __future__ import annotations

import threading
import time
from typing import Protocol, cast

from acmelike.core import current_context
from acmelike.core.status import NodeMetrics
from acmelike.errors import RpcClosed
from acmelike.rpc import Call


class Scheduler(Protocol):
    """Lets nodes run and wait. `label` is always that of the calling thread's node."""

    is_serial: bool

    def now(self) -> float:
        """Seconds on the clock that deadlines are measured by."""

    def enter(self, label: str) -> None:
        """Returns when the node may begin."""

    def end_step(self, label: str) -> None:
        """Lets others run between two steps of the node."""

    def leave(self, label: str) -> None:
        """The node has ended."""

    def wait(self, call: Call) -> None:
        """Returns when the call is done; expires it if its deadline passes first."""

    def sleep(self, node: NodeMetrics, seconds: float | None, reason: str) -> None:
        """Waits `seconds`, or until the run ends.

        Raises:
          RpcClosed: the run ended.
        """


class Sleep:
    """A wait for time to pass.

    Attributes:
      target: "time".
      reason: why, in the sleeper's words.
      deadline: on the scheduler's clock, or None.
    """

    def __init__(self, deadline: float | None, reason: str, ended: threading.Event):
        self.target, self.reason, self.deadline = "time", reason, deadline
        self._ended = ended

    def done(self) -> bool:
        """Whether it ended before its time, because the run did."""
        return self._ended.is_set()

    def check(self) -> None:
        """Raises RpcClosed if the run ended."""
        if self._ended.is_set():
            raise RpcClosed(f"the run ended in a sleep (it waited: {self.reason})")


class FreeScheduler:
    """Every node runs whenever it can, on the wall's clock.

    Args:
      ended: set when the run ends.
    """

    is_serial = False

    def __init__(self, ended: threading.Event):
        self._ended = ended
        self.now = time.monotonic

    def enter(self, label: str) -> None:
        pass

    def end_step(self, label: str) -> None:
        pass

    def leave(self, label: str) -> None:
        pass

    def wait(self, call: Call) -> None:
        context = current_context()
        if context is None:
            wait_on_clock(call, self.now())
        else:
            with context.metrics.waiting(call):
                wait_on_clock(call, self.now())

    def sleep(self, node: NodeMetrics, seconds: float | None, reason: str) -> None:
        deadline = None if seconds is None else self.now() + seconds
        sleep = Sleep(deadline, reason, self._ended)
        with node.waiting(sleep):
            self._ended.wait(seconds)
        sleep.check()


def wait_on_clock(call: Call, now: float) -> None:
    """Waits for a call in real time, from `now` until its deadline."""
    timeout = None if call.deadline is None else max(0.0, call.deadline - now)
    wakeup = cast(threading.Event, call.wakeup)
    if not wakeup.wait(timeout):
        call.server.expire(call)
