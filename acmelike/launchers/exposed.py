"""Nodes that programs outside of the run may call, each at a TCP port of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from acmelike.errors import ConfigError
from acmelike.graph import Exposure, Program
from acmelike.launchers.scheduler import Scheduler
from acmelike.rpc import Identity, Server, SocketServer, listen_outside, new_key


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where another program calls an exposed node, and what it needs for that.

    `dataclasses.asdict` makes it a dict. Keep that in a file that only the caller can
    read: with the key, every method of the node can be called.

    Attributes:
      node: the node's label.
      ip: where the node's process listens. "0.0.0.0" means every network of this host;
        in a run on several hosts, the address of the node's host stands in its place.
      port: the TCP port at that ip.
      key: proves that a caller may call: 32 bytes in hexadecimal; not in the repr.
      name: the name in the certificate of the node's process; "" without TLS.
      authority: the certificate that signed this certificate, as PEM; "" without TLS.
    """

    node: str
    ip: str
    port: int
    key: str = field(repr=False)
    name: str
    authority: str = field(repr=False)


class ExposedNode(NamedTuple):
    """Where the process of an exposed node listens, and the key that callers need."""

    exposure: Exposure
    key: bytes


def exposed_nodes(program: Program) -> dict[str, ExposedNode]:
    """The exposed nodes of a program by label, each with a new key."""
    return {
        program.entry(handle).label: ExposedNode(exposure, new_key())
        for handle, exposure in program.exposures.items()
    }


class ExposedServers:
    """Serves the exposed nodes of this process to other programs.

    Args:
      nodes: the exposed ones, by label.
      servers: of all nodes of this process, by label.
      scheduler: of them.
      identity: of this process, for TLS; None if no node here needs it.
      on_failure: called with a node's label if its port can no longer be served.

    Attributes:
      endpoints: by label.

    Raises:
      ConfigError: a port is taken, or this host has no such ip.
    """

    def __init__(
        self,
        nodes: Mapping[str, ExposedNode],
        servers: Mapping[str, Server],
        scheduler: Scheduler,
        identity: Identity | None,
        on_failure: Callable[[str, BaseException], None],
    ):
        self.endpoints: dict[str, Endpoint] = {}
        self._sockets: dict[str, SocketServer] = {}
        with ExitStack() as opened:
            for label, (exposure, key) in nodes.items():
                used = identity if exposure.tls else None
                try:
                    listener = listen_outside(exposure.ip, exposure.port, key, used)
                except OSError as error:
                    why = os.strerror(error.errno) if error.errno else str(error)
                    raise ConfigError(
                        f"node '{label}' cannot be exposed at {exposure}: {why}; "
                        f"expose it with another ip or port, or with "
                        f"port=0 for one that is free"
                    ) from None
                sockets = SocketServer(
                    {label: servers[label]},
                    scheduler,
                    listener,
                    partial(on_failure, label),
                )
                opened.callback(sockets.close)
                self._sockets[label] = sockets
                self.endpoints[label] = Endpoint(
                    node=label,
                    ip=exposure.ip,
                    port=listener.address.port,
                    key=key.hex(),
                    name=listener.address.name,
                    authority="" if used is None else used.authority.decode(),
                )
            opened.pop_all()

    def start(self) -> None:
        """Starts to take calls."""
        for sockets in self._sockets.values():
            sockets.start()

    def end(self) -> None:
        """Takes no more calls."""
        for sockets in self._sockets.values():
            sockets.end()

    def join(self, seconds: float) -> list[str]:
        """Waits for the calls of other programs; returns those that have not ended."""
        return [
            f"a call of node '{label}' by another program"
            for label, sockets in self._sockets.items()
            if not sockets.join(seconds)
        ]
