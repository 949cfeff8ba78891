"""What a handle becomes: an object with the methods of another node's service."""

from __future__ import annotations

from typing import Any, Protocol

from acmelike.core import Future, RemoteMethod, current_context
from acmelike.leaf import refuse_inside_leaf
from acmelike.rpc.freeze import freeze


class Target(Protocol):
    """Where a client's calls go: a server in this process, or the way to another's."""

    label: str

    def submit(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        caller: str,
    ) -> Future[Any]:
        """Makes a call."""


class Client:
    """Calls the public methods of a node's service.

    A method that does not exist is refused at its first use, with the nearest name.
    """

    def __init__(self, target: Target):
        self._target = target

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no public method '{name}'")
        method = Method(self._target, name)
        self.__dict__[name] = method
        return method

    def __repr__(self) -> str:
        return f"<client of node '{self._target.label}'>"


class Method(RemoteMethod[Any, Any]):
    """One method of a client."""

    def __init__(self, target: Target, name: str):
        self._target, self._name = target, name

    def submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Future[Any]:
        refuse_inside_leaf(f"{self._target.label}.{self._name}")
        context = current_context()
        caller = "outside" if context is None else context.label
        return self._target.submit(
            self._name, freeze(args), freeze(kwargs), timeout, caller
        )

    def __repr__(self) -> str:
        return f"<method {self._target.label}.{self._name}>"
