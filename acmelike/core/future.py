"""Futures: calls that may still be under way, and the methods that are called."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from typing_extensions import ParamSpec

from acmelike.errors import NotReady

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Future(ABC, Generic[T_co]):
    """The outcome of a call that may still be under way; `start` returns one."""

    __slots__ = ()

    @abstractmethod
    def done(self) -> bool:
        """Whether `result` would return or raise without waiting."""

    @abstractmethod
    def result(self) -> T_co:
        """Waits for the outcome, and returns it or raises it.

        Inside `with deadline(...)` the wait ends in time. The call itself has the
        deadline under which it was started: if that is later, or if there is none, the
        call is still under way and `result` can be asked for again.

        Raises:
          RpcTimeout: the deadline of the call, or of the wait, has passed.
          RpcClosed: the run ended, or the call was cancelled; `NotReady` where a
            service is called outside of a run.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Withdraws the call if it has not run yet; then `result` raises RpcClosed."""


class RemoteMethod(ABC, Generic[P, T]):
    """A method of another node, as a client has it."""

    @abstractmethod
    def submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[T]:
        """Starts a call, with the deadline of the calling thread."""

    @abstractmethod
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Makes a call and waits for its outcome."""


class LocalFuture(Future[T]):
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
