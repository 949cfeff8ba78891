"""The nodes of other processes: where they are, and a channel to each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from acmelike.core.runtime import seconds_left
from acmelike.errors import RpcClosed, RpcTimeout
from acmelike.rpc.client import Client, Interface
from acmelike.rpc.refs import VALUES, Store
from acmelike.rpc.sockets.channel import Channel, RemoteTarget
from acmelike.rpc.sockets.endpoints import Address, Credentials


class Peer(NamedTuple):
    """A node, as other processes know it.

    Attributes:
      label: the node's.
      interface: what may be called there; None if that is known only when it starts.
      is_packed: whether calls to it are compressed, if it is on another host.
    """

    label: str
    interface: Interface | None
    is_packed: bool = False


class Peers:
    """Makes clients of nodes that live in other processes, over a channel to each.

    Args:
      credentials: of this process.
      wait_for_end: returns why the run ended, or None if it does not end within a
        while.

    Attributes:
      store: of this process.
    """

    def __init__(
        self, credentials: Credentials, wait_for_end: Callable[[], str | None]
    ):
        self._credentials, self._wait_for_end = credentials, wait_for_end
        self._lock = threading.Lock()
        # Set when addresses are known, or when the run ended without them.
        self._is_known = threading.Event()
        self._addresses: Mapping[str, Address] = {}
        self._channels: dict[Address, Channel] = {}
        self._by_label: dict[str, Channel] = {}  # The same ones.
        self._reason: str | None = None
        self._is_closed = False
        self.store = Store(self._client_of_values)

    def client(self, peer: Peer, owner: str | None) -> Client:
        """A client of a node, for the thread of the node `owner`, or for any thread."""
        find_channel = partial(self._channel_to, peer.label)
        target = RemoteTarget(peer.label, find_channel, peer.is_packed)
        return Client(target, peer.interface, owner)

    def set_addresses(self, by_label: Mapping[str, Address]) -> None:
        """Takes the addresses of all nodes; calls that waited for them are sent."""
        self._addresses = by_label
        self._is_known.set()

    def end(self, reason: str) -> None:
        """The run has ended: no call waits for an address any more."""
        self._reason = self._reason or reason
        self._is_known.set()

    def close(self) -> None:
        """Ends every call; the callers are woken. Later calls end at once."""
        with self._lock:
            self._is_closed = True
        for channel in self._all_channels():
            channel.close(self._reason or "the run ended")

    def dispose(self) -> None:
        """Releases sockets and memory, when no thread calls any more."""
        self.store.close()
        for channel in self._all_channels():
            channel.dispose()

    def _client_of_values(self, label: str) -> Client:
        """A client of the values that a node's process has stored."""
        return Client(RemoteTarget(VALUES, partial(self._channel_to, label)))

    def _channel_to(self, label: str) -> Channel:
        """The channel to a node's process; waits until its address is known."""
        channel = self._by_label.get(label)
        if channel is not None:
            return channel
        if not self._is_known.wait(seconds_left()):
            raise RpcTimeout(f"{label}: the processes of the run are still starting")
        if label not in self._addresses:
            raise RpcClosed(self._reason or f"{label} has no address")
        address = self._addresses[label]
        with self._lock:
            if self._is_closed:
                raise RpcClosed(self._reason or "the run ended")
            if address not in self._channels:
                self._channels[address] = Channel(
                    address, self._credentials, self._wait_for_end, self.store
                )
            self._by_label[label] = self._channels[address]
            return self._channels[address]

    def _all_channels(self) -> list[Channel]:
        with self._lock:
            return list(self._channels.values())
