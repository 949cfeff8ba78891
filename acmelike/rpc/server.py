"""One service made callable: its lock, its guards, and the calls parked at it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeAlias

from acmelike.core import register_updating
from acmelike.core.leaf import leaf, refuse_inside_leaf
from acmelike.core.status import EdgeMetrics, ParkedCall
from acmelike.errors import (
    NoSuchMethod,
    RpcClosed,
    RpcTimeout,
    RunStopped,
    nearest,
)
from acmelike.rpc.call import Call, Scheduler, Wakeup
from acmelike.rpc.freeze import freeze
from acmelike.rpc.sockets.frames import Pickles

# What a launcher calls on a service itself; nobody calls these over an edge.
OWN_METHODS = frozenset({"step", "run", "close"})


# What to do when the lock is no longer held, and what that leaves to be done.
Reports: TypeAlias = list[Callable[[], Callable[[Pickles], None] | None]]


class Supervisor(Protocol):
    """What a server reports to."""

    def stop(self, reason: str) -> None:
        """A method asked for the end of the run."""

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """A part of a node that no caller is to blame for raised."""


class Server:
    """Serves one node's service to the other nodes of its process.

    Methods run one at a time, guard and body as one step. A call whose guard holds it
    back is parked in order of arrival and tested again after every change, by the
    thread that made the change; so parked calls hold no thread here.

    Args:
      label: the node's label.
      scheduler: how callers wait, and by which clock.
      supervisor: told of failing guards and of methods that end the run.
    """

    def __init__(self, label: str, scheduler: Scheduler, supervisor: Supervisor):
        self.label, self.scheduler = label, scheduler
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._service: Any = None
        self._methods: dict[str, Callable[..., Any]] | None = None
        self._parked: list[Call] = []
        self._closed: str | None = None
        self._num_calls = 0

    # --- The node's side -----------------------------------------------------------

    def open(self, service: object) -> None:
        """Begins to serve; calls that came before are tested now."""
        methods = public_methods(service)
        register_updating(service, self.updating)
        with self._changing() as after:
            self._service, self._methods = service, methods
            for call in self._parked:
                if not self._expired(call):
                    self._begin(call, after)

    def close(self, reason: str) -> None:
        """Ends every parked and every later call with RpcClosed."""
        with self._changing():
            self._closed = self._closed or reason
        register_updating(self._service, None)

    @contextmanager
    def updating(self) -> Iterator[None]:
        """See `acmelike.core.updating`."""
        refuse_inside_leaf(f"updating({self.label})")
        with self._changing(), leaf(f"updating({self.label})"):
            yield

    # --- The callers' side ---------------------------------------------------------

    def submit(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        caller: str,
        edge: EdgeMetrics | None = None,
        wakeup: Wakeup | None = None,
    ) -> Call:
        """Runs the call now if its guard lets it, or parks it.

        Args:
          method: its name.
          args: of the call.
          kwargs: of the call.
          timeout: seconds that it may be parked, or None.
          caller: the label of the node that calls, or "outside".
          edge: not used here, where a call has no bytes.
          wakeup: told of the outcome if the call is parked; by default a new Event.
        """
        call = Call(self, method, args, kwargs, caller)
        if self.is_concurrent(method) and self._methods and self._closed is None:
            reports: Reports = []
            self._run(call, self._methods[method], reports)
            _report(reports)
            return call
        # As `_changing`, but a call that only parks has changed nothing.
        after: Reports = []
        try:
            with self._lock:
                if self._begin(call, after) and self._parked:
                    self._settle(after)  # Who came before goes first.
                if self._try(call, after):
                    if self._parked:
                        self._settle(after)
                else:
                    call.wakeup = wakeup or threading.Event()
                    if timeout is not None:
                        call.deadline = self.scheduler.now() + timeout
                    self._parked.append(call)
        finally:
            _report(after)
        return call

    def is_concurrent(self, method: str) -> bool:
        """Whether calls of a method run without the lock, and as long as they like."""
        return getattr((self._methods or {}).get(method), "is_concurrent", False)

    def expire(self, call: Call) -> None:
        """Ends a parked call whose deadline has passed."""
        with self._changing() as after:
            self._expire(call, after)

    def withdraw(self, call: Call) -> None:
        """Ends a parked call that its caller no longer wants."""
        with self._changing() as after:
            if call in self._parked:
                error = RpcClosed(f"{call.target}: cancelled by its caller")
                self._end(call, error, after)

    def parked(self) -> tuple[ParkedCall, ...]:
        """The calls that wait here, in order of arrival."""
        with self._lock:
            return tuple(
                ParkedCall(call.caller, call.method, call.reason)
                for call in self._parked
            )

    @property
    def num_calls(self) -> int:
        """How many calls have had an outcome."""
        return self._num_calls

    # --- Under the lock ------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[Reports]:
        """Holds the lock, then tests the parked calls; wakes and reports after it.

        No caller is woken and no supervisor called under the lock: no thread ever
        holds two.
        """
        after: Reports = []
        try:
            with self._lock:
                try:
                    yield after
                finally:
                    if self._parked:
                        self._settle(after)
        finally:
            _report(after)

    def _settle(self, after: Reports) -> None:
        """Tests parked calls in order until none of them can proceed."""
        progress = True
        while progress:
            progress = False
            for call in self._parked:
                if call.deadline is not None and self._expired(call):
                    self._expire(call, after)
                elif self._try(call, after):
                    self._unpark(call, after)
                else:
                    continue
                progress = True
                break

    def _begin(self, call: Call, after: Reports) -> bool:
        """Runs what the call does first, if anything; whether there was something."""
        first = getattr((self._methods or {}).get(call.method), "first", None)
        if first is None or self._closed is not None:
            return False
        self._do(call, partial(first, self._service), after)
        return True

    def _try(self, call: Call, after: Reports) -> bool:
        """Runs the call if it can proceed; otherwise notes why it cannot."""
        if call.done():
            return True  # What it does first has failed.
        if self._closed is not None:
            call.fail(RpcClosed(f"{call.target}: {self._closed}{_waiting(call)}"))
            return True
        if self._methods is None:
            call.reason = f"node '{self.label}' is still starting"
            return False
        method = self._methods.get(call.method)
        if method is None:
            kind = type(self._service).__name__
            call.fail(
                NoSuchMethod(
                    f"node '{self.label}' ({kind}) has no method '{call.method}'"
                    f"{nearest(call.method, self._methods)}"
                )
            )
            return True
        guard = getattr(method, "guard", None)
        if guard is not None:
            with leaf(f"the guard of {call.target}"):
                try:
                    reason = guard(self._service, *call.args, **call.kwargs)
                except Exception as error:
                    where = f"guard of '{call.method}'"
                    after.append(
                        partial(self._supervisor.fail, self.label, where, error)
                    )
                    call.fail(error)
                    return True
            if reason is not None:
                call.reason = str(reason)
                return False
        self._run(call, method, after)
        return True

    def _run(self, call: Call, method: Callable[..., Any], after: Reports) -> None:
        body = getattr(method, "body", None)
        value = self._do(call, partial(body, self._service) if body else method, after)
        if not call.done():
            call.succeed(freeze(value))
        self._num_calls += 1

    def _do(self, call: Call, what: Callable[..., Any], after: Reports) -> Any:
        """Does a part of a call, and ends the call if that fails."""
        with leaf(call.target):
            try:
                return what(*call.args, **call.kwargs)
            except RunStopped as stopped:
                after.append(partial(self._supervisor.stop, str(stopped)))
                call.fail(RpcClosed(f"{call.target}: {stopped}"))
            except Exception as error:
                _note(error, f"raised by {call.target}")
                call.fail(error)

    def _expired(self, call: Call) -> bool:
        return call.deadline is not None and self.scheduler.now() >= call.deadline

    def _expire(self, call: Call, after: Reports) -> None:
        if call in self._parked:
            self._end(call, RpcTimeout(f"{call.target}{_waiting(call)}"), after)

    def _end(self, call: Call, error: Exception, after: Any) -> None:
        call.fail(error)
        self._unpark(call, after)

    def _unpark(self, call: Call, after: Reports) -> None:
        self._parked.remove(call)
        # Who keeps the call, for its deadline, does not keep what it was called with.
        call.args, call.kwargs = (), {}
        assert call.wakeup is not None
        after.append(call.wakeup.set)


def _report(after: Reports) -> None:
    """Tells everybody; those with the same outcome get the same pickle.

    Whoever is told first may take this thread's core, so the others should be told soon
    after: actors in lock-step would wait for one that has begun.
    """
    pickles = Pickles()
    for report in after:
        if (tell := report()) is not None:
            tell(pickles)


def public_methods(service: object) -> dict[str, Callable[..., Any]]:
    """The methods of a service that others may call, by name."""
    methods = {}
    for name in dir(service):
        if name.startswith("_") or name in OWN_METHODS:
            continue
        # Statically first: looking at a property would run it.
        if isinstance(inspect.getattr_static(service, name), property):
            continue
        value = getattr(service, name)
        if callable(value):
            methods[name] = value
    return methods


def _waiting(call: Call) -> str:
    return f" (it waited: {call.reason})" if call.reason else ""


def _note(error: Exception, note: str) -> None:
    """`add_note`, which Python 3.10 does not have."""
    error.__notes__ = [*getattr(error, "__notes__", []), note]
