"""The nodes of other processes: where they are, and a channel to each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from acmelike.core.runtime import seconds_left
from acmelike.errors import RpcClosed, RpcTimeout
from acmelike.rpc.client import Client, Interface
from acmelike.rpc.sockets.channel import Channel, RemoteTarget


class Peer(NamedTuple):
    """A node, as other processes know it.

    Attributes:
      label: the node's.
      interface: what may be called there; None if that is known only when it starts.
    """

    label: str
    interface: Interface | None


class Peers:
    """Makes clients of nodes that live in other processes.

    Nodes of one process could share a connection, but which nodes these are is known
    only when all addresses are, and clients are made before. So there is a connection
    for each node that is called.

    Args:
      wait_for_end: returns why the run ended, or None if it does not end within a
        while.
    """

    def __init__(self, wait_for_end: Callable[[], str | None]):
        self._wait_for_end = wait_for_end
        self._addresses: Mapping[str, str] = {}
        # Set when addresses are known, or when the run ended without them.
        self._is_known = threading.Event()
        self._reason: str | None = None
        self._channels: dict[str, Channel] = {}

    def client(self, peer: Peer, owner: str | None) -> Client:
        """A client of a node, for the thread of the node `owner`, or for any thread."""
        channel = self._channels.get(peer.label)
        if channel is None:
            channel = Channel(lambda: self.address_of(peer.label), self._wait_for_end)
            self._channels[peer.label] = channel
        return Client(RemoteTarget(peer.label, channel), peer.interface, owner)

    def set_addresses(self, by_label: Mapping[str, str]) -> None:
        """Takes the addresses of all nodes; calls that waited for them are sent."""
        self._addresses = by_label
        self._is_known.set()

    def end(self, reason: str) -> None:
        """The run has ended: no call waits for an address any more."""
        self._reason = self._reason or reason
        self._is_known.set()

    def close(self) -> None:
        """Ends every call; the callers are woken."""
        for channel in self._channels.values():
            channel.close(self._reason or "the run ended")

    def dispose(self) -> None:
        """Releases sockets and memory, when no thread calls any more."""
        for channel in self._channels.values():
            channel.dispose()

    def address_of(self, label: str) -> str:
        """Where a node's process listens; waits until that is known."""
        if not self._is_known.wait(seconds_left()):
            raise RpcTimeout(f"{label}: the processes of the run are still starting")
        if label not in self._addresses:
            raise RpcClosed(self._reason or f"{label} has no address")
        return self._addresses[label]
