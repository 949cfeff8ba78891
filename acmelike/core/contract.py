"""What the code of services and workers says to the runtime, and nothing else.

A *service* is a plain object whose public methods others may call. A *worker* is a
service with `step()`. Both are written with the words below, and run without a
framework around them: outside a run the words mean what a single thread would expect.
"""

from __future__ import annotations

import functools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Concatenate, Generic, NoReturn, Protocol, TypeVar, cast

from typing_extensions import ParamSpec

from acmelike.core.leaf import refuse_inside_leaf
from acmelike.core.status import NodeMetrics
from acmelike.errors import NotReady, RunStopped

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


# --- What a service declares -----------------------------------------------------


def when(
    guard: Callable[Concatenate[S, P], str | None],
    *,
    first: Callable[Concatenate[S, P], None] | None = None,
) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]:
    """Declares that a method waits until `guard(self, *args)` returns None.

    The guard is pure and takes what the method takes; it returns why the call cannot
    proceed yet, in words and numbers. In a run the call is parked, first come first
    served and without a thread on the service's side, and its guard is tested again
    after every change of the service. Guard and body run as one atomic step.

    Args:
      guard: why the call cannot proceed yet.
      first: `first(self, *args)` runs once, when the call arrives and before its guard
        is tested: a request, say, whose outcome the call then waits for. It saves a
        call just before this one. Outside a run it has run even if the call raises
        NotReady, and runs again if a function that only passes the call on is called
        again.

    Raises:
      NotReady: from the method, outside a run, with the guard's reason.
    """

    def decorate(
        body: Callable[Concatenate[S, P], T],
    ) -> Callable[Concatenate[S, P], T]:
        if getattr(body, "is_concurrent", False):
            raise TypeError(f"{body.__name__} cannot be both guarded and concurrent")

        def tested(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            reason = guard(self, *args, **kwargs)
            if reason is not None:
                raise NotReady(f"{type(self).__name__}.{body.__name__}: {reason}")
            return body(self, *args, **kwargs)

        @functools.wraps(body)
        def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if first is not None:
                first(self, *args, **kwargs)
            return tested(self, *args, **kwargs)

        guarded.guard = guard  # type: ignore[attr-defined]
        guarded.body = body  # type: ignore[attr-defined]
        guarded.first = first  # type: ignore[attr-defined]
        guarded.tested = tested  # type: ignore[attr-defined]
        return guarded

    return decorate


def concurrent(method: Callable[P, T]) -> Callable[P, T]:
    """Exempts a method from its service's lock: it reads a snapshot or locks itself."""
    if hasattr(method, "guard"):
        raise TypeError(f"{method.__name__} cannot be both guarded and concurrent")
    method.is_concurrent = True  # type: ignore[attr-defined]
    return method


class Worker(Protocol):
    """A service with work of its own; the launcher owns the loop around `step`."""

    def step(self) -> None:
        """Does one bounded unit of work, and waits over an edge if there is none."""


# --- What a step says ------------------------------------------------------------


def updating(service: object) -> AbstractContextManager[None]:
    """Guards a step's changes to what its service's methods read.

    Inside, no method of the service runs and no edge may be used; when it ends, the
    calls parked at the service are tested again. Outside a run it does nothing.
    """
    enter = _updating.get(id(service))
    return nullcontext() if enter is None else enter()


class Future(ABC, Generic[T_co]):
    """The outcome of a call that may still be under way."""

    @abstractmethod
    def done(self) -> bool:
        """Whether `result` would return, or raise, without waiting."""

    @abstractmethod
    def result(self) -> T_co:
        """Waits for the outcome and returns or raises it.

        Raises:
          RpcTimeout: the call's deadline passed.
          RpcClosed: the run ended, or the call was cancelled.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Withdraws the call if it has not begun; then `result` raises RpcClosed."""


class RemoteMethod(ABC, Generic[P, T]):
    """A method of another node, as a client has it."""

    @abstractmethod
    def submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Future[T]:
        """Starts the call; `timeout` in seconds, None for the run's whole life."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.submit(args, kwargs, None).result()


def future(method: Callable[P, T]) -> Callable[P, Future[T]]:
    """`future(peer.f)(x)` starts `peer.f(x)` and returns its Future.

    On a plain object the call is tried now, and again at each look at the Future.
    """
    if isinstance(method, RemoteMethod):
        submit = method.submit
        return lambda *args, **kwargs: submit(args, kwargs, None)
    return lambda *args, **kwargs: _LocalFuture(method, args, kwargs)


def within(seconds: float, method: Callable[P, T]) -> Callable[P, T]:
    """`within(2.0, peer.f)(x)` is `peer.f(x)` with a deadline of 2 seconds.

    On a plain object, where nothing waits, it is the method itself.

    Raises:
      RpcTimeout: from the call, with the reason for which it had to wait.
    """
    if isinstance(method, RemoteMethod):
        return cast(Callable[P, T], _Within(method, seconds))
    return method


def sleep(seconds: float | None, reason: str) -> None:
    """Waits in a step: `seconds`, or with None until the run ends.

    Under `serial`, time is logical and passes only when no node can run.

    Raises:
      RpcClosed: the run ended.
      NotReady: outside a run, where nobody else would make progress meanwhile.
    """
    refuse_inside_leaf("sleep")
    context = current_context()
    if context is None:
        raise NotReady(f"would sleep for {seconds} s: {reason}")
    context.sleep(seconds, reason)


def set_status(what: str) -> None:
    """Says in a long step how far it is, for those who look at the node's status.

    It holds until the step ends or says something else. Outside a run nobody looks.
    """
    context = current_context()
    if context is not None:
        context.metrics.doing = what


def stop_run(reason: str) -> NoReturn:
    """Ends the whole run successfully, and unwinds the step or method that says so.

    Raises:
      RunStopped: always.
    """
    raise RunStopped(reason)


def prefetch_depth(wanted: int) -> int:
    """How many calls to keep under way ahead of need: `wanted`, or 0 under `serial`."""
    context = current_context()
    return 0 if context is None or context.is_serial else wanted


# --- What a runtime provides -----------------------------------------------------


class Context(Protocol):
    """What a run gives to the thread of one of its nodes."""

    @property
    def label(self) -> str:
        """The node's label."""

    @property
    def is_serial(self) -> bool:
        """Whether nodes take turns, so that nothing happens ahead of need."""

    @property
    def metrics(self) -> NodeMetrics:
        """The node's counters."""

    def now(self) -> float:
        """See `now`."""

    def sleep(self, seconds: float | None, reason: str) -> None:
        """See `sleep`."""


def now() -> float:
    """Seconds on the clock that the calling thread's deadlines are measured by.

    Under `serial` it is logical, so that what depends on it is the same in every run.
    """
    context = current_context()
    return time.monotonic() if context is None else context.now()


def current_context() -> Context | None:
    """The context of the calling thread; None outside a run."""
    return getattr(_thread, "context", None)


def set_context(context: Context | None) -> None:
    """Makes the calling thread a node's thread."""
    _thread.context = context


def register_updating(
    service: object, enter: Callable[[], AbstractContextManager[None]] | None
) -> None:
    """Sets what `updating(service)` enters while the service is being served."""
    if enter is None:
        _updating.pop(id(service), None)
    else:
        _updating[id(service)] = enter


_thread = threading.local()
_updating: dict[int, Callable[[], AbstractContextManager[None]]] = {}


class _Within(RemoteMethod[P, T]):
    """A remote method with a deadline."""

    def __init__(self, method: RemoteMethod[P, T], seconds: float):
        self._method, self._seconds = method, seconds

    def submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Future[T]:
        return self._method.submit(args, kwargs, self._seconds)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._method.submit(args, kwargs, self._seconds).result()


class _LocalFuture(Future[T]):
    """A call of a plain object, tried until its guard lets it through."""

    def __init__(self, method: Callable[..., T], args: Any, kwargs: Any):
        self._call: Callable[[], T] | None = functools.partial(method, *args, **kwargs)
        self._outcome: Callable[[], T] | None = None
        self._try()
        service = getattr(method, "__self__", None)
        tested = getattr(method, "tested", None)
        if service is not None and tested is not None:
            # What the call does first is done.
            self._call = functools.partial(tested, service, *args, **kwargs)

    def _try(self) -> None:
        if self._outcome is not None or self._call is None:
            return
        try:
            value = self._call()
        except NotReady:
            return
        except Exception as error:
            failure = error
            self._outcome = lambda: _raise(failure)
        else:
            self._outcome = lambda: value

    def done(self) -> bool:
        self._try()
        return self._outcome is not None

    def result(self) -> T:
        self._try()
        if self._outcome is not None:
            return self._outcome()
        if self._call is None:
            raise NotReady("the call was cancelled")
        return self._call()

    def cancel(self) -> None:
        self._call = None


def _raise(error: Exception) -> NoReturn:
    raise error
