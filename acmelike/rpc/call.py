"""One call over an edge, from the moment it is made until its outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from acmelike.core import Future

if TYPE_CHECKING:
    from acmelike.rpc.sockets.frames import Pickles


class Scheduler(Protocol):
    """How the threads of a run wait."""

    def now(self) -> float:
        """Seconds on the clock that deadlines are measured by."""

    def wait(self, call: Call) -> None:
        """Returns when the call is done; expires it if its deadline passes first."""


class CallOwner(Protocol):
    """The server that has taken a call, as far as the call needs to know it."""

    label: str
    scheduler: Scheduler

    def expire(self, call: Call) -> None:
        """Ends a parked call whose deadline has passed."""

    def withdraw(self, call: Call) -> None:
        """Ends a parked call that its caller no longer wants."""


class Wakeup(Protocol):
    """What is told that a parked call has an outcome; a `threading.Event`, say."""

    def set(self) -> Callable[[Pickles], None] | None:
        """It has; returns what tells its caller, if that is still to be done."""


class Call(Future[Any]):
    """A call that a server has taken. The server's lock guards every change of it.

    Attributes:
      server: who serves it.
      method: the name of the method.
      args, kwargs: what it was called with.
      deadline: on the scheduler's clock, or None.
      caller: the label of the node that made it, or "outside".
      reason: why it is parked; the words of its guard when it was last tested.
      wakeup: set after the outcome is known; None until the call is parked.
    """

    __slots__ = (
        "_done",
        "_error",
        "_value",
        "args",
        "caller",
        "deadline",
        "kwargs",
        "method",
        "reason",
        "server",
        "wakeup",
    )

    def __init__(
        self,
        server: CallOwner,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        caller: str,
    ):
        self.server, self.method, self.caller = server, method, caller
        self.args, self.kwargs = args, kwargs
        self.deadline: float | None = None
        self.reason = ""
        self.wakeup: Wakeup | None = None
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def target(self) -> str:
        """The callee as people read it: "replay.insert"."""
        return f"{self.server.label}.{self.method}"

    def done(self) -> bool:
        return self._done

    def result(self) -> Any:
        if not self._done:
            self.server.scheduler.wait(self)
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        self.server.withdraw(self)

    def succeed(self, value: Any) -> None:
        """Records the outcome; only the server calls this."""
        self._value, self._done = value, True

    def fail(self, error: BaseException) -> None:
        """Records the failure; only the server calls this."""
        self._error, self._done = error, True
