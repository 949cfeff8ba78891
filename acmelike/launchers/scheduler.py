"""How the threads of a run wait: what the launchers differ in, and nothing else."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol, cast

from acmelike.core.runtime import current_context
from acmelike.core.status import NodeMetrics
from acmelike.errors import RpcClosed
from acmelike.rpc import Alarm, Call

# Deadlines this near to each other are the same one, measured twice.
_SAME_SECONDS = 0.01


class Scheduler(Protocol):
    """Lets nodes run and wait. `label` is always that of the calling thread's node."""

    is_serial: bool

    def now(self) -> float:
        """Seconds on the clock by which deadlines are measured."""

    def enter(self, label: str) -> None:
        """Returns when the node may start."""

    def end_step(self, label: str) -> None:
        """Lets others run between two steps of the node."""

    def leave(self, label: str) -> None:
        """The node has ended."""

    def wait(self, call: Call, seconds: float | None) -> None:
        """Waits until the call is done, at most `seconds`; None without a limit.

        A call whose own deadline passes meanwhile is expired.
        """

    def alarm(self, name: str, ring: Callable[[], None]) -> Alarm:
        """An alarm that calls `ring`; `name` says what for."""

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

    @property
    def can_end_alone(self) -> bool:
        """Whether it has a deadline."""
        return self.deadline is not None

    def done(self) -> bool:
        """Whether it ended before its time, because the run did."""
        return self._ended.is_set()

    def check(self) -> None:
        """Raises RpcClosed if the run ended."""
        if self._ended.is_set():
            raise RpcClosed(f"the run ended in a sleep (it waited: {self.reason})")


class CallWait:
    """A wait for a call.

    Attributes:
      deadline: when it ends, on the scheduler's clock; None without a limit. It is the
        call's own deadline, or an earlier one of the caller.
    """

    def __init__(self, call: Call, now: float, seconds: float | None):
        self._call, self.deadline = call, call.deadline
        if seconds is not None:
            until = now + seconds
            if call.deadline is None or until < call.deadline - _SAME_SECONDS:
                self.deadline = until

    @property
    def target(self) -> str:
        """The method that is called."""
        return self._call.target

    @property
    def reason(self) -> str:
        """Why the call is parked."""
        return str(self._call.reason)

    @property
    def can_end_alone(self) -> bool:
        """Whether it has a deadline."""
        return self.deadline is not None

    def done(self) -> bool:
        """Whether the call has an outcome."""
        return self._call.has_outcome

    def end(self) -> None:
        """Expires the call, if it is its own deadline that has passed."""
        if not self._call.has_outcome and self.deadline == self._call.deadline:
            self._call.server.expire(self._call)

    def wait_on_clock(self, now: float) -> None:
        """Waits in real time, from `now` on."""
        timeout = None if self.deadline is None else max(0.0, self.deadline - now)
        if not cast(threading.Event, self._call.wakeup).wait(timeout):
            self.end()


class ClockAlarm:
    """Rings in real time, in a thread that it starts when it is first set.

    Args:
      name: of the thread.
      ring: called when a time has come.
    """

    def __init__(self, name: str, ring: Callable[[], None]):
        self._name, self._ring = name, ring
        self._changed = threading.Condition()
        self._at = math.inf
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def set(self, at: float) -> None:
        if at >= self._at:
            return  # It rings earlier, and is then set again.
        with self._changed:
            self._at = min(self._at, at)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name=self._name, daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Waits until its thread has ended, which it does after `close`."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while self._wait():
            self._ring()

    def _wait(self) -> bool:
        """Returns when it is time to ring; False when it is closed."""
        with self._changed:
            while not self._is_closed:
                left = self._at - time.monotonic()
                if left <= 0:
                    self._at = math.inf
                    return True
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            return False


class FreeScheduler:
    """Every node runs whenever it can, in real time.

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

    def wait(self, call: Call, seconds: float | None) -> None:
        now = self.now()
        wait, context = CallWait(call, now, seconds), current_context()
        if context is None:
            wait.wait_on_clock(now)
        else:
            with context.metrics.waiting(wait):
                wait.wait_on_clock(now)

    def alarm(self, name: str, ring: Callable[[], None]) -> ClockAlarm:
        return ClockAlarm(name, ring)

    def sleep(self, node: NodeMetrics, seconds: float | None, reason: str) -> None:
        deadline = None if seconds is None else self.now() + seconds
        sleep = Sleep(deadline, reason, self._ended)
        with node.waiting(sleep):
            self._ended.wait(seconds)
        sleep.check()
