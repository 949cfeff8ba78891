"""The server of one service: its lock, its guards, and the calls parked at it."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from types import MethodType
from typing import Any, NamedTuple, Protocol, TypeAlias

from acmelike.core.batched import Batched
from acmelike.core.contract import Guarded
from acmelike.core.leaf import enter, leaf, leave
from acmelike.core.runtime import current_context, register_service
from acmelike.core.status import EdgeMetrics, MethodMetrics, MethodStatus, ParkedCall
from acmelike.errors import RpcClosed, RpcError, RpcTimeout, RunStopped
from acmelike.rpc.batch import Batch
from acmelike.rpc.call import Alarm, Call, CallScheduler, Request, Wakeup
from acmelike.rpc.client import Interface, interface_of, no_such_method
from acmelike.rpc.freeze import freeze
from acmelike.rpc.sockets.frames import PayloadCache

# Functions to call when the lock is released. Each may return another one, which sends
# an outcome to a caller.
Reports: TypeAlias = list[Callable[[], Callable[[PayloadCache], None] | None]]
# How often a caller that waits for a busy service checks whether the run has ended.
_LOOK_SECONDS = 0.1


class Supervisor(Protocol):
    """Is told by a server what concerns the whole run."""

    def stop(self, reason: str) -> None:
        """A method asked for the end of the run."""

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """A part of a node raised, and no caller is to blame."""


class Server:
    """Serves one node's service to the other nodes.

    Methods run one at a time, guard and body as one step. A call whose guard holds it
    back is parked in order of arrival and tested again after every change, by the
    thread that made the change; so parked calls hold no thread here. A call of a
    batched method is parked until its batch is due.

    Args:
      label: the node's label.
      scheduler: how callers wait, and by which clock.
      supervisor: told of failing guards and of methods that end the run.
      is_packed: whether answers to processes of other hosts are compressed.

    Attributes:
      label, scheduler, is_packed: the same.
      concurrent_methods: those that run without the lock, and as long as they like.
    """

    def __init__(
        self,
        label: str,
        scheduler: CallScheduler,
        supervisor: Supervisor,
        *,
        is_packed: bool = False,
    ):
        self.label, self.scheduler = label, scheduler
        self.is_packed = is_packed
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._service: Any = None
        self._interface: Interface | None = None
        self._methods: dict[str, _Served] | None = None
        self.concurrent_methods = frozenset[str]()
        self._parked: list[Call] = []
        self._batches: list[Batch] = []
        # Rings when parked calls have to be tested again though nothing has changed.
        self._alarm: Alarm | None = None
        self._closed: str | None = None

    # --- The node's side -----------------------------------------------------------

    def open(self, service: object) -> None:
        """Starts to serve; calls that came before are tested now.

        None stands for a node that is a function and serves nothing.
        """
        interface = interface_of(type(service))
        methods = {
            name: _served(getattr(service, name), service, f"{self.label}.{name}")
            for name in interface.methods
        }
        if service is not None:
            register_service(service, self.label)
        self._batches = [m.batch for m in methods.values() if m.batch is not None]
        if self._batches:
            self._alarm = self.scheduler.alarm(f"batches of {self.label}", self._test)
        with self._changing():
            self._service, self._interface = service, interface
            # First: who finds the methods has to know which are concurrent.
            self.concurrent_methods = frozenset(
                name for name, method in methods.items() if method.is_concurrent
            )
            self._methods = methods
        if self._closed is not None:  # Before the service was known here.
            register_service(service, None)
            self._close_alarm()

    def close(self, reason: str) -> None:
        """Ends every parked and every later call with RpcClosed.

        It does not wait for a method that is running; that one is not interrupted.
        """
        self._closed = self._closed or reason
        register_service(self._service, None)
        self._close_alarm()
        self._test_soon()

    def _close_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.close()

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Guards a change of the service by its own step; see `updating`."""
        with self._changing(), leaf("updating", f"updating({self.label})"):
            yield

    # --- The callers' side ---------------------------------------------------------

    def submit(
        self,
        request: Request,
        edge: EdgeMetrics | None = None,
        wakeup: Wakeup | None = None,
        is_trusted: bool = True,
        may_block: bool = True,
    ) -> Call:
        """Runs the call now if its guard lets it, or parks it.

        Args:
          request: what is asked.
          edge: not used here, where a call has no bytes.
          wakeup: told of the outcome if the call is parked; by default a new Event.
          is_trusted: whether its caller is of the run. A guard that raises for the
            arguments of another one fails the call, and not the run.
          may_block: whether a concurrent method may run in this thread.
        """
        call = Call(self, request)
        call.is_trusted = is_trusted
        if request.timeout is not None:
            call.deadline = self.scheduler.now() + request.timeout
        methods = self._methods
        method = None if methods is None else methods.get(request.method)
        if method is not None and self._closed is None:
            call.metrics = method.metrics
            if method.is_concurrent:
                if not may_block:
                    return self._submit_apart(call, method, wakeup)
                self._run(call, method)
                if wakeup is None:
                    self._follow_up(call)
                return call
            if method.batch is not None:
                self._park_in_batch(call, method.batch, wakeup)
                return call
        after: Reports = []
        if not self._lock.acquire(False):
            self._wait_for_lock(call)
            if call.done():
                return call
        # As `_changing`, but a call that only parks has changed nothing.
        try:
            if methods is None and (opened := self._concurrent(request.method)):
                # The service was opened meanwhile. With the lock it would stop it.
                return self._submit_apart(call, opened, wakeup)
            if method is not None and method.guarded is None and self._closed is None:
                self._run(call, method)  # As `_try` does in the end.
                if self._parked:
                    self._settle(after)
            elif self._try(call, after):
                if self._parked:
                    self._settle(after)
            else:
                call.wakeup = wakeup or threading.Event()
                self._parked.append(call)
        finally:
            self._lock.release()
            if after:
                _report(after)
        if wakeup is None:
            self._follow_up(call)
        return call

    def _concurrent(self, name: str) -> _Served | None:
        """The concurrent method with this name, if it runs beside others now."""
        method = None if self._methods is None else self._methods.get(name)
        if method is None or not method.is_concurrent or self._closed is not None:
            return None
        # Under `serial` nothing runs at the same time.
        return None if self.scheduler.is_serial else method

    def _submit_apart(self, call: Call, method: _Served, wakeup: Wakeup | None) -> Call:
        """Runs a new call of a concurrent method in a thread of its own."""
        call.wakeup, call.metrics = wakeup or threading.Event(), method.metrics
        if not self._start_apart(call, method):
            call.wakeup = None  # It has its outcome, as if it had never been parked.
        return call

    def _start_apart(self, call: Call, method: _Served) -> bool:
        """Starts a thread that runs a call of a concurrent method.

        In a thread that has the lock, it would stop the node for as long as it runs.

        Returns:
          False if there can be no more threads; the call has failed then.
        """
        thread = threading.Thread(
            target=self._run_apart, args=(call, method), name=call.target, daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            call.fail(RpcError(f"{call.target}: {error}"))
            return False
        return True

    def _park_in_batch(self, call: Call, batch: Batch, wakeup: Wakeup | None) -> None:
        """Parks a call, and handles its batch if that is due.

        It does not wait for the lock, so calls gather while the service is busy.
        """
        call.wakeup = wakeup or threading.Event()
        call.reason, call.came = batch, self.scheduler.now()
        self._parked.append(call)
        self._join(call, batch)
        if self.scheduler.is_serial and current_context() is None:
            # A caller outside the program takes no turn, so for it no time would pass.
            batch.is_urgent = True
            self._test()
        elif batch.is_full or self._closed is not None:
            self._test_soon()

    def _join(self, call: Call, batch: Batch) -> None:
        batch.calls.append(call)
        self._set_alarm(call, batch)

    def _set_alarm(self, call: Call, batch: Batch) -> None:
        """Has the batch tested again when it is due by itself."""
        if batch.is_oldest(call) and batch.method.timeout < math.inf:
            self._ring_at(batch.due_at(call))

    def _ring_at(self, at: float) -> None:
        assert self._alarm is not None  # There is one if there is a batched method.
        self._alarm.set(at)

    def _follow_up(self, call: Call) -> None:
        """Does what follows an unparked call, of a caller of this process."""
        if call.wakeup is None and call.follow_up is not None:
            call.follow_up()

    def _wait_for_lock(self, call: Call) -> None:
        """Takes the lock, or ends the call if its deadline or the run's end is earlier.

        The lock is busy for as long as a method runs, which may be long.
        """
        reason = f"another method of '{self.label}' is still running"
        wait = _Busy(call.target, reason, can_end_alone=call.deadline is not None)
        context = current_context()
        with nullcontext() if context is None else context.metrics.waiting(wait):
            while not self._lock.acquire(timeout=self._until_look(call)):
                if self._closed is not None:
                    words = f"{call.target}: {reason}; {self._closed}"
                    call.fail(RpcClosed(words))
                    return
                if self._expired(call):
                    call.fail(RpcTimeout(f"{call.target}: {reason}"))
                    return

    def _until_look(self, call: Call) -> float:
        if call.deadline is None:
            return _LOOK_SECONDS
        return min(_LOOK_SECONDS, max(0.0, call.deadline - self.scheduler.now()))

    def expire(self, call: Call) -> bool:
        """Ends a parked call whose deadline has passed, unless a method is running.

        That method may run for long, and the call must not wait for it. It stays parked
        then, and can no longer run: it is found expired when the method ends.

        Returns:
          Whether the call has an outcome now.
        """
        return self._change_if_free(partial(self._expire, call))

    def withdraw(self, call: Call) -> None:
        """Ends a parked call that its caller no longer wants; see `expire`."""
        # First of all, as whoever runs a method now tests the parked calls after it.
        call.is_withdrawn, call.deadline = True, self.scheduler.now()
        self._change_if_free(partial(self._withdraw, call))

    def parked(self) -> tuple[ParkedCall, ...]:
        """The calls that wait here, in order of arrival.

        It does not take the lock, which a method that hangs would hold.
        """
        return tuple(
            ParkedCall(call.request.caller, call.request.method, str(call.reason))
            for call in list(self._parked)
        )

    def method_status(self) -> dict[str, MethodStatus]:
        """What it did for its callers, by method; those that were called."""
        methods = (self._methods or {}).items()
        return {
            name: method.metrics.status()
            for name, method in methods
            if method.metrics.num_calls
        }

    # --- Under the lock ------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[Reports]:
        """Holds the lock, and tests the parked calls before it is released.

        Callers are woken and supervisors called afterwards, so that no thread ever
        holds two locks.
        """
        after: Reports = []
        self._lock.acquire()
        try:
            yield after
        finally:
            self._settle_and_release(after)

    def _change_if_free(self, change: Callable[[Reports], None]) -> bool:
        """As `_changing`; False, and no change, while a method runs."""
        if not self._lock.acquire(blocking=False):
            return False
        after: Reports = []
        try:
            change(after)
        finally:
            self._settle_and_release(after)
        return True

    def _test(self) -> None:
        """Tests the parked calls."""
        with self._changing():
            pass

    def _test_soon(self) -> None:
        """Tests the parked calls, in another thread if a method is running."""
        if self._lock.acquire(blocking=False):
            self._settle_and_release([])
        elif self._closed is None and self._alarm is not None:
            self._alarm.set(self.scheduler.now())
        else:
            # At the exit of Python 3.12 and later no thread can be started. The thread
            # that runs a method now tests the parked calls after it, too.
            with suppress(RuntimeError):
                threading.Thread(
                    target=self._test, name=f"closing {self.label}", daemon=True
                ).start()

    def _settle_and_release(self, after: Reports) -> None:
        try:
            if self._parked:
                self._settle(after)
        finally:
            self._lock.release()
            _report(after)

    def _settle(self, after: Reports) -> None:
        """Tests parked calls in order until none of them can proceed."""
        for batch in self._batches:
            batch.has_run = False
        progress = True
        while progress:
            progress = False
            for call in self._parked:
                if call.deadline is not None and self._expired(call):
                    self._expire(call, after)
                elif (method := self._concurrent(call.request.method)) is not None:
                    # It came while the node was starting.
                    self._parked.remove(call)
                    call.metrics = method.metrics
                    if not self._start_apart(call, method):
                        self._wake(call, after)
                elif done := self._try(call, after):
                    for each in done:
                        self._unpark(each, after)
                else:
                    continue
                progress = True
                break

    def _run_apart(self, call: Call, method: _Served) -> None:
        self._run(call, method)
        after: Reports = []
        self._wake(call, after)
        _report(after)

    def _try(self, call: Call, after: Reports) -> list[Call]:
        """Runs the call if it can proceed; otherwise notes why it cannot.

        Returns:
          The calls that have an outcome now: none, this one, or a batch.
        """
        if self._closed is not None:
            call.fail(RpcClosed(f"{call.target}: {self._closed}{call.why_parked()}"))
            return [call]
        if self._methods is None:
            call.reason = f"node '{self.label}' is still starting"
            return []
        name = call.request.method
        method = self._methods.get(name)
        if method is None:
            assert self._interface is not None
            call.fail(no_such_method(self.label, self._interface, name))
            return [call]
        call.metrics = method.metrics
        if method.batch is not None:
            return self._try_batch(call, method, method.batch)
        if method.guarded is not None:
            request = call.request
            with leaf("guard", call):
                try:
                    reason = method.guarded.reason(
                        self._service, request.args, request.kwargs
                    )
                except BaseException as error:
                    if not call.is_trusted or not _fits(method.body, request):
                        call.fail(error)  # It is the caller's mistake.
                        return [call]
                    where = f"guard of '{name}'"
                    after.append(
                        partial(self._supervisor.fail, self.label, where, error)
                    )
                    # Not with the error: the caller must not be blamed for it.
                    call.fail(RpcClosed(f"{call.target}: its guard failed"))
                    return [call]
            if reason is not None:
                call.reason = reason
                return []
        self._run(call, method)
        return [call]

    def _try_batch(self, call: Call, method: _Served, batch: Batch) -> list[Call]:
        if call.reason is not batch:  # It came while the node was starting.
            call.reason, call.came = batch, self.scheduler.now()
            self._join(call, batch)
            if batch.is_full:
                self._ring_at(call.came)
        elif batch.is_due(now := self.scheduler.now()):
            if not batch.has_run:
                return self._run_batch(method, batch)
            self._ring_at(now)
        else:
            self._set_alarm(call, batch)
        return []

    def _run_batch(self, method: _Served, batch: Batch) -> list[Call]:
        """Handles the oldest calls of a batch; returns them, all with an outcome."""
        reason = str(batch)
        taken = [call for call in batch.take() if not call.has_outcome]
        for call in taken:
            if self._expired(call):
                call.fail(_too_late(call, f" (it waited: {reason})"))
        readable = batch.read([call for call in taken if not call.has_outcome])
        if not readable:
            return taken
        calls = [call for call, _ in readable]
        started = perf_counter()
        outer = enter(method.leaf)
        try:
            rows = batch.handle(self._service, readable)
            for call, row in zip(calls, rows, strict=True):
                call.succeed(row)
        except RunStopped as stopped:
            for call in calls:
                call.succeed(None)
            # When all have their outcome.
            calls[-1].follow_up = partial(self._supervisor.stop, str(stopped))
        except BaseException as error:  # As in `_run`.
            _note(error, f"raised by {calls[0].target}")
            for call in calls:
                call.fail(error)
        finally:
            leave(outer)
        for call in calls:
            method.metrics.count_call(started - call.arrived)
        method.metrics.count_run(perf_counter() - started)
        return taken

    def _run(self, call: Call, method: _Served) -> None:
        request = call.request
        started = perf_counter()
        outer = enter(method.leaf)
        try:
            call.succeed(freeze(method.body(*request.args, **request.kwargs)))
        except RunStopped as stopped:
            # The method did what its caller asked for; then the run ends.
            call.succeed(None)
            call.follow_up = partial(self._supervisor.stop, str(stopped))
        except BaseException as error:  # Code of a method may even exit.
            _note(error, f"raised by {call.target}")
            call.fail(error)
        finally:
            leave(outer)
        request.release_arguments()
        method.metrics.count_one(started - call.arrived, perf_counter() - started)

    def _expired(self, call: Call) -> bool:
        return call.deadline is not None and self.scheduler.now() >= call.deadline

    def _expire(self, call: Call, after: Reports) -> None:
        if call in self._parked:
            self._end(call, _too_late(call, call.why_parked()), after)

    def _withdraw(self, call: Call, after: Reports) -> None:
        if call in self._parked:
            self._end(call, _cancelled(call), after)

    def _end(self, call: Call, error: Exception, after: Any) -> None:
        call.fail(error)
        if isinstance(call.reason, Batch):
            # It may be about to join, and then has an outcome when it is taken.
            with suppress(ValueError):
                call.reason.calls.remove(call)
        self._unpark(call, after)

    def _unpark(self, call: Call, after: Reports) -> None:
        self._parked.remove(call)
        call.request.release_arguments()
        self._wake(call, after)

    def _wake(self, call: Call, after: Reports) -> None:
        """Has the caller of a call that was parked woken."""
        assert call.wakeup is not None
        if call.follow_up is not None:  # First, as in `SocketServer`.
            after.append(call.follow_up)
        after.append(call.wakeup.set)


class _Busy(NamedTuple):
    """A wait for a service that runs another method; see `Wait`."""

    target: str
    reason: str
    can_end_alone: bool


@dataclass(slots=True)
class _Served:
    """A method as it is served.

    Attributes:
      body: the method without its guard, bound to the service.
      leaf: that a thread is in while it runs.
      metrics: its counters.
      guarded: what has its guard; None for a method without one.
      batch: the calls that are handled together; None for a method that is not batched.
      is_concurrent: whether it runs without the lock.
    """

    body: Callable[..., Any]
    leaf: leaf
    metrics: MethodMetrics = field(default_factory=MethodMetrics)
    guarded: Guarded | None = None
    batch: Batch | None = None
    is_concurrent: bool = False


def _served(method: Any, service: object, name: str) -> _Served:
    declared, inside = getattr(method, "__func__", None), leaf("method", name)
    if isinstance(declared, Guarded):
        body = MethodType(declared.body, service)
        return _Served(body, inside, guarded=declared)
    if isinstance(declared, Batched):
        return _Served(method, inside, batch=Batch(declared))
    return _Served(
        method, inside, is_concurrent=getattr(method, "is_concurrent", False)
    )


def _too_late(call: Call, why: str) -> Exception:
    """The outcome of a call that was cancelled, or whose deadline passed."""
    if call.is_withdrawn:
        return _cancelled(call)
    return RpcTimeout(f"{call.target}{why}")


def _cancelled(call: Call) -> RpcClosed:
    return RpcClosed(f"{call.target}: cancelled by its caller")


def _report(after: Reports) -> None:
    """Wakes the callers, and sends them their outcomes; an equal one is pickled once.

    A caller that wakes up may take this thread's core. So all are woken in a row:
    actors in lock-step would otherwise wait for the first of them.
    """
    payloads = PayloadCache()
    for report in after:
        if (tell := report()) is not None:
            tell(payloads)


def _fits(body: Callable[..., Any], request: Request) -> bool:
    """Whether a method can be called with these arguments."""
    try:
        inspect.signature(body).bind(*request.args, **request.kwargs)
    except TypeError:
        return False
    return True


def _note(error: BaseException, note: str) -> None:
    """`add_note`, which Python 3.10 does not have."""
    with suppress(Exception):  # A frozen dataclass takes none.
        error.__notes__ = [*getattr(error, "__notes__", []), note]
