"""What a handle becomes: an object with the methods of another node's service."""

from __future__ import annotations

from typing import Any

from acmelike.core import RemoteMethod
from acmelike.rpc.call import Call
from acmelike.rpc.freeze import freeze
from acmelike.rpc.server import Server


class Client:
    """Calls the public methods of a service in this process.

    A method that does not exist is refused at its first use, with the nearest name.
    """

    def __init__(self, server: Server):
        self._server = server

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no public method '{name}'")
        method = Method(self._server, name)
        self.__dict__[name] = method
        return method

    def __repr__(self) -> str:
        return f"<client of node '{self._server.label}'>"


class Method(RemoteMethod[Any, Any]):
    """One method of a client: a direct call with neither copying nor pickling."""

    def __init__(self, server: Server, name: str):
        self._server, self._name = server, name

    def submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Call:
        return self._server.submit(self._name, freeze(args), freeze(kwargs), timeout)

    def __repr__(self) -> str:
        return f"<method {self._server.label}.{self._name}>"
