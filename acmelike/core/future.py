"""What every future can do, and every method of another node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from typing_extensions import ParamSpec

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
