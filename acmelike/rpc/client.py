"""What a handle becomes: an object with the methods of another node's service."""

from __future__ import annotations

import time
from typing import Any, Protocol

from acmelike.core import Future, RemoteMethod, current_context
from acmelike.core.leaf import refuse_inside_leaf
from acmelike.core.status import EdgeMetrics
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
        edge: EdgeMetrics | None,
    ) -> Future[Any]:
        """Makes a call for the node `caller`, counting its bytes in `edge`."""


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
        self._full_name = f"{target.label}.{name}"

    def submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Future[Any]:
        refuse_inside_leaf(self._full_name)
        context = current_context()
        caller, edge = "outside", None
        if context is not None:
            caller, edge = context.label, context.metrics.edges[self._full_name]
            edge.num_calls += 1
        return self._target.submit(
            self._name, freeze(args), freeze(kwargs), timeout, caller, edge
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        value = self.submit(args, kwargs, None).result()
        context = current_context()
        if context is not None:
            edge = context.metrics.edges[self._full_name]
            edge.seconds.append(time.perf_counter() - started)
        return value

    def __repr__(self) -> str:
        return f"<method {self._full_name}>"
