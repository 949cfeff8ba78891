"""One call over an edge, from the moment it is made until its outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from acmelike.core.future import Future
from acmelike.core.leaf import current_leaf, refuse_inside_leaf
from acmelike.core.runtime import seconds_left
from acmelike.core.status import MethodMetrics
from acmelike.errors import RpcClosed, RpcTimeout

if TYPE_CHECKING:
    from acmelike.rpc.sockets.frames import PayloadCache


class Request:
    """What a caller asks of a node.

    Attributes:
      method: its name.
      args: of the call. The server drops them as soon as the call has an outcome: then
        their memory can be used for the next call.
      kwargs: likewise.
      timeout: seconds for which the call may be parked; None without a limit.
      caller: the label of the node that makes it, or "outside".
    """

    __slots__ = ("args", "caller", "kwargs", "method", "timeout")

    def __init__(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        caller: str,
    ):
        self.method, self.args, self.kwargs = method, args, kwargs
        self.timeout, self.caller = timeout, caller

    def release_arguments(self) -> None:
        """Drops the arguments of a call that has an outcome."""
        self.args, self.kwargs = (), {}


class CallScheduler(Protocol):
    """How the threads of a run wait for calls."""

    @property
    def is_serial(self) -> bool:
        """Whether nodes take turns, and time passes only when none can run."""

    def now(self) -> float:
        """Seconds on the clock by which deadlines are measured."""

    def wait(self, call: Call, seconds: float | None) -> None:
        """Waits until the call is done, at most `seconds`; None without a limit.

        A call whose own deadline passes meanwhile is expired.
        """

    def alarm(self, name: str, ring: Callable[[], None]) -> Alarm:
        """An alarm that calls `ring`; `name` says what for."""


class Alarm(Protocol):
    """Calls a function when a time has come, in a thread that holds no lock."""

    def set(self, at: float) -> None:
        """Will ring at this time of the scheduler's clock, or at an earlier one.

        It may ring too early, and rings once. Any thread may set it.
        """

    def close(self) -> None:
        """Will not ring again; does not wait for a ring that has begun."""


class CallOwner(Protocol):
    """The server that has taken a call, as far as the call needs to know it."""

    label: str
    scheduler: CallScheduler
    is_packed: bool

    def expire(self, call: Call) -> bool:
        """Ends a parked call whose deadline has passed; returns whether it could."""

    def withdraw(self, call: Call) -> None:
        """Ends a parked call that its caller no longer wants."""


class Wakeup(Protocol):
    """What is told that a parked call has an outcome; a `threading.Event`, say."""

    def set(self) -> Callable[[PayloadCache], None] | None:
        """Takes the news; returns what sends the outcome to a caller, if any."""


class Call(Future[Any]):
    """A call that a server has taken. The server's lock guards every change of it.

    Attributes:
      server: the one that serves it.
      request: what was asked.
      metrics: of the method; None if there is no such method, or not yet.
      arrived: when it was made, as `time.perf_counter` tells it.
      deadline: on the scheduler's clock, or None.
      reason: why it is parked: the words of its guard when it was last tested, or its
        batch, whose `str` says what that waits for now.
      came: when it joined a batch, on the scheduler's clock.
      is_trusted: whether its caller is of the run.
      is_withdrawn: whether it was cancelled while a method ran, and has to end.
      wakeup: set after the outcome is known; None until the call is parked.
      follow_up: what to do when the caller has the outcome, such as to end the run.
      error: what it raised; None if it did not, or is not done.
    """

    __slots__ = (
        "_done",
        "_value",
        "arrived",
        "came",
        "deadline",
        "error",
        "follow_up",
        "is_trusted",
        "is_withdrawn",
        "metrics",
        "reason",
        "request",
        "server",
        "wakeup",
    )

    def __init__(self, server: CallOwner, request: Request):
        self.server, self.request = server, request
        self.metrics: MethodMetrics | None = None
        self.arrived = perf_counter()
        self.deadline: float | None = None
        self.reason: object = ""
        self.came = 0.0
        self.is_trusted, self.is_withdrawn = True, False
        self.wakeup: Wakeup | None = None
        self.follow_up: Callable[[], None] | None = None
        self._done = False
        self._value: Any = None
        self.error: BaseException | None = None

    @property
    def target(self) -> str:
        """The method that is called, as people read it: "replay.insert"."""
        return f"{self.server.label}.{self.request.method}"

    def __str__(self) -> str:
        return self.target

    def done(self) -> bool:
        if not self._done and self.deadline is not None:
            if self.server.scheduler.now() >= self.deadline:
                self.server.expire(self)
        return self._done

    @property
    def has_outcome(self) -> bool:
        """Whether it is done, without a look at its deadline."""
        return self._done

    def result(self) -> Any:
        if current_leaf() is not None:
            refuse_inside_leaf(f"the result of {self.target}")
        if not self._done:
            self.server.scheduler.wait(self, seconds_left())
            if not self._done and self.is_withdrawn:
                raise RpcClosed(f"{self.target}: cancelled by its caller")
            if not self._done:
                raise RpcTimeout(f"{self.target}{self.why_parked()}")
        return self.outcome()

    def outcome(self) -> Any:
        """Returns or raises the outcome of a call that is done."""
        if self.error is not None:
            raise self.error
        return self._value

    def cancel(self) -> None:
        self.server.withdraw(self)

    def why_parked(self) -> str:
        """The reason, in the form in which errors end."""
        reason = str(self.reason)
        return f" (it waited: {reason})" if reason else ""

    def count_bytes(self, num_in: int, num_out: int) -> None:
        """Counts its bytes and those of its answer, if it came from another process."""
        if self.metrics is not None:
            self.metrics.count_bytes(num_in, num_out)

    def succeed(self, value: Any) -> None:
        """Records the outcome; only the server calls this."""
        self._value, self._done = value, True

    def fail(self, error: BaseException) -> None:
        """Records the failure; only the server calls this."""
        self.error, self._done = error, True

    def release_outcome(self) -> None:
        """Drops the outcome, which was sent; its error would keep this call."""
        self._value = self.error = None
