"""The words in which the code of nodes speaks to the runtime.

A *service* is a plain object whose public methods other nodes may call. A *worker* is a
service with a method `step`. Both are written with these words:

    when, batched, concurrent,            what a service declares about its methods
    idempotent
    updating, start, deadline, sleep,     what a step does
    stop_run, set_status

Services and workers run without a framework around them too: outside a run the words
mean what a program of one thread would expect, so unit tests need no launcher.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import MethodType, ModuleType, TracebackType
from typing import Any, NoReturn, Protocol, TypeVar, cast

from typing_extensions import ParamSpec

from acmelike.core.batched import Batched
from acmelike.core.future import Future, RemoteMethod
from acmelike.core.leaf import current_leaf, refuse_inside_leaf
from acmelike.core.runtime import (
    current_context,
    enter_deadline,
    leave_deadline,
    now,
    seconds_left,
    update_outside_node,
)
from acmelike.errors import ContractError, NotReady, RpcTimeout, RunStopped, nearest

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


# --- What a service declares -------------------------------------------------------


class Guarded:
    """A method that waits until its guard returns None; `when` makes one.

    Args:
      guard: a function of the service and of those parameters of `body` that it names.
      body: the method.

    Attributes:
      body: the method.

    Raises:
      TypeError: the guard names a parameter that the method does not have, or the
        method is `concurrent` or `batched`.
    """

    def __init__(self, guard: Callable[..., Any], body: Callable[..., Any]):
        _refuse_both("guarded", body)
        functools.update_wrapper(self, body)
        self.body = body
        self._guard = guard
        self._arguments_of_guard = _select_arguments(guard, body)

    def reason(
        self, service: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str | None:
        """Why a call cannot proceed yet, in the words of the guard; None if it can.

        Raises:
          ContractError: the guard returned neither None nor a text.
        """
        select = self._arguments_of_guard
        if select is None:
            reason = self._guard(service, *args, **kwargs)
        else:
            reason = self._guard(service, *select(args, kwargs))
        if reason is None or (type(reason) is str and reason):
            return reason
        raise ContractError(
            f"the guard of {type(service).__name__}.{self.body.__name__} returned "
            f"{reason!r}: a guard returns None if the call can proceed, and otherwise "
            f"the reason why it has to wait, as a text"
        )

    def __get__(self, service: Any, kind: type | None = None) -> Any:
        return self if service is None else MethodType(self, service)

    def __call__(self, service: Any, /, *args: Any, **kwargs: Any) -> Any:
        reason = self.reason(service, args, kwargs)
        if reason is not None:
            raise NotReady(f"{type(service).__name__}.{self.body.__name__}: {reason}")
        return self.body(service, *args, **kwargs)


def when(guard: Callable[..., str | None]) -> Callable[[F], F]:
    """Declares that a method waits until its guard returns None.

        def _is_empty(self) -> str | None:
            return None if self.items else "the queue is empty"

        @when(_is_empty)
        def get(self): ...

    The guard is a pure function of the service and of the call's arguments. It names
    only those parameters of the method that it uses. If the caller leaves an argument
    out, it gets the method's default. It returns None if the call can proceed, and
    otherwise why not, in words and numbers for people.

    In a run, a call that cannot proceed is parked: it holds no thread of the service.
    After every change of the service the parked calls are tested again, the oldest
    first. Guard and body run as one atomic step.

    Raises:
      TypeError: the guard names a parameter that the method does not have, or has
        `*args` or `**kwargs`, but not the same parameters as the method.
      NotReady: from the method outside a run, with the guard's reason.
      ContractError: from the method, if the guard returns anything but None or a text.
    """

    def decorate(body: F) -> F:
        return cast(F, Guarded(guard, body))

    return decorate


def concurrent(method: Callable[P, T]) -> Callable[P, T]:
    """Lets a method run beside all others: it reads a snapshot, or locks by itself."""
    function: Any = getattr(method, "__func__", method)  # Of a static or class method.
    _refuse_both("concurrent", function)
    function.is_concurrent = True
    return method


def batched(
    *, max_size: int, timeout: float | None = None, pad: bool = False
) -> Callable[[F], F]:
    """Lets a method handle several calls at once.

        @batched(max_size=32, timeout=0.005, pad=True)
        def act(self, observation): ...

    A caller calls `act(observation)` with one observation. The method gets a batch of
    them, and each caller its own row of the answer. The arguments are nested arrays
    and numbers: each is stacked along a new axis 0. The answer is nested arrays
    `[B, ...]`, or None. A batch runs when `max_size` calls wait, or `timeout` seconds
    after its oldest came. Outside a run a call is a batch of one.

    A call whose arguments differ from those of most others in structure, shape or
    dtype, or are no arrays, fails by itself. An error of the method is raised at every
    caller of the batch.

    Args:
      max_size: calls of one batch, at least 1.
      timeout: seconds, at least 0; None or 0 to take those that have come as soon as
        the service is free.
      pad: whether the method always gets `max_size` rows, the last one repeated, so
        that code which is compiled for a shape is compiled once.

    Raises:
      TypeError: the method is guarded or `concurrent`.
      ValueError: `max_size` or `timeout` is out of range.
      ContractError: from the method, if the arguments or the answer are no such arrays.
    """

    def decorate(body: F) -> F:
        _refuse_both("batched", body)
        return cast(F, Batched(body, max_size, timeout or 0.0, pad))

    return decorate


def idempotent(method: F) -> F:
    """Lets a call be sent again when its connection to another process is lost.

        @idempotent
        @when(_nothing_newer)
        def next_parameters(self, newer_than): ...

    Declare it of methods for which being run twice is the same as being run once, above
    all of those that only read. Calls of other methods are sent at most once: their
    caller gets ConnectionLost, because nobody knows whether they have run. It goes with
    `when`, `concurrent` and `batched`, before them or after them. In one process there
    is no connection, and it has no effect.

    Raises:
      TypeError: it is no method, but a property, say.
    """
    if not callable(method) and not isinstance(method, (staticmethod, classmethod)):
        raise TypeError(f"idempotent declares a method, and this is none: {method!r}")
    method.is_idempotent = True  # type: ignore[attr-defined]
    return method


def _refuse_both(new: str, method: Any) -> None:
    """Refuses a second one of `when`, `concurrent` and `batched` on a method."""
    old = ""
    if isinstance(method, Guarded):
        old = "guarded"
    elif isinstance(method, Batched):
        old = "batched"
    elif getattr(method, "is_concurrent", False):
        old = "concurrent"
    if old and (old, new) != ("concurrent", "concurrent"):
        raise TypeError(f"{method.__name__} cannot be both {old} and {new}")


class Worker(Protocol):
    """A service with work of its own; the launcher owns the loop around `step`."""

    def step(self) -> None:
        """Does one bounded unit of work, and waits over an edge if there is none."""


# --- What a step does --------------------------------------------------------------


def updating(service: object) -> AbstractContextManager[None]:
    """Guards the changes that a step makes to what its service's methods read.

        with updating(self):
            self.parameters = new

    Inside, no method of the service runs and no edge may be used. At its end the calls
    that are parked at the service are tested again. Outside a run it does nothing.

    Raises:
      ContractError: the service is not the one whose step is running.
    """
    context = current_context()
    if context is None:
        return update_outside_node(service)
    return context.updating(service)


def start(method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Starts a call and returns its Future, without waiting: `start(peer.f, x)`.

    The call carries the deadline of the `with deadline(...)` around it. On a plain
    object, outside a run, the call is tried now and again at each look at the Future.

    Raises:
      TypeError: `method` is not a method of a client or of an object.
    """
    if isinstance(method, RemoteMethod):
        return method.submit(args, kwargs)
    if isinstance(getattr(method, "__self__", None), ModuleType | None):
        raise TypeError(
            f"start(peer.f, x) calls a method of a client or of an object, not "
            f"{method!r}"
        )
    return _LocalFuture(method, args, kwargs)


class _LocalFuture(Future[T]):
    """A call of a plain object's method, outside a run.

    No other thread makes progress meanwhile, so the call is tried when it is made and
    again each time that somebody looks, until its guard lets it proceed.
    """

    def __init__(self, method: Callable[..., T], args: Any, kwargs: Any):
        self._call: Callable[[], T] | None = functools.partial(method, *args, **kwargs)
        self._outcome: Callable[[], T] | None = None
        self._try()

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


class deadline:
    """A scope in which every call and every wait ends in time.

        with deadline(2.0):
            item = queue.get()

    Of nested scopes the earliest deadline holds. Under `serial`, time is logical. On
    plain objects, where nothing waits, it has no effect.

    Args:
      seconds: from now, at least 0; None for no limit beyond that of an outer scope.

    Raises:
      ValueError: `seconds` is negative or not a number.
      RpcTimeout: from what waits inside, with the reason for which it had to wait.
    """

    # A class, because a generator would cost more than a call.
    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None):
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"deadline: seconds must be at least 0: {seconds}")
        self._seconds = None if seconds == math.inf else seconds

    def __enter__(self) -> None:
        at = None if self._seconds is None else now() + self._seconds
        enter_deadline(at)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_deadline()


def sleep(seconds: float | None, reason: str) -> None:
    """Waits in a step: `seconds`, or with None until the run ends.

    Under `serial`, time is logical and passes only when no node can run.

    Raises:
      ValueError: `seconds` is negative or not a number.
      RpcClosed: the run ended.
      RpcTimeout: the deadline of the scope around it passed first.
      NotReady: outside a run, where no other thread would make progress meanwhile.
    """
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"sleep: seconds must be at least 0: {seconds}")
    seconds = None if seconds == math.inf else seconds
    refuse_inside_leaf("sleep")
    context = current_context()
    if context is None:
        raise NotReady(f"would sleep for {seconds} s: {reason}")
    left = seconds_left()
    if left is None or (seconds is not None and seconds <= left):
        context.sleep(seconds, reason)
        return
    context.sleep(left, reason)
    raise RpcTimeout(f"sleep (it waited: {reason})")


def set_status(text: str) -> None:
    """Says in a long step how far it is, for those who look at the node's status.

    The text holds until the step, or the constructor, ends or sets another. It has no
    effect outside a run. It has none in a method either, as that may run in the thread
    of its caller.
    """
    context, inside = current_context(), current_leaf()
    if context is None or (inside is not None and inside.kind in ("method", "guard")):
        return
    context.metrics.doing = text


def stop_run(reason: str) -> NoReturn:
    """Ends the whole run successfully.

    In a step it unwinds the step. In a method it unwinds the method, whose caller gets
    None; then the run ends.

    Raises:
      RunStopped: always. It is no Exception, so a broad `except` cannot swallow it.
    """
    raise RunStopped(reason)


def _select_arguments(
    guard: Callable[..., Any], body: Callable[..., Any]
) -> Callable[[tuple[Any, ...], dict[str, Any]], list[Any]] | None:
    """How to find the guard's arguments in those of a call; None if they are equal."""
    of_guard = list(inspect.signature(guard).parameters.values())[1:]
    of_body = list(inspect.signature(body).parameters.values())[1:]
    if len(of_guard) == len(of_body) and all(map(_is_same, of_guard, of_body)):
        return None
    places = {parameter.name: place for place, parameter in enumerate(of_body)}
    name = getattr(guard, "__name__", "the guard")
    for parameter in of_guard:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"{name} takes '{parameter}', and not all arguments of "
                f"{body.__name__}: name those that it uses"
            )
        if parameter.name not in places:
            raise TypeError(
                f"{name} names '{parameter.name}', which is not a parameter of "
                f"{body.__name__}{nearest(parameter.name, places)}"
            )
    wanted = [(places[p.name], p.name, of_body[places[p.name]]) for p in of_guard]

    def select(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        chosen = [
            args[place]
            if place < len(args) and parameter.kind is not parameter.KEYWORD_ONLY
            else kwargs.get(name, parameter.default)
            for place, name, parameter in wanted
        ]
        for value, (_, name, _) in zip(chosen, wanted, strict=True):
            if value is inspect.Parameter.empty:
                raise TypeError(f"{body.__name__} is called without '{name}'")
        return chosen

    return select


def _is_same(of_guard: inspect.Parameter, of_body: inspect.Parameter) -> bool:
    """Whether a guard that is called as the method is gets the same argument."""
    return (
        of_guard.name == of_body.name
        and of_guard.kind == of_body.kind
        and of_guard.default is of_body.default
    )
