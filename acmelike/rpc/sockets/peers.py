"""The nodes of other processes: where they are, and a channel to each."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from acmelike.core.runtime import current_context, seconds_left
from acmelike.errors import RpcClosed, RpcTimeout
from acmelike.rpc.client import Client, Interface, interface_of
from acmelike.rpc.refs import VALUES, Store, Values
from acmelike.rpc.sockets.channel import Channel
from acmelike.rpc.sockets.endpoints import HEARTBEAT_SECONDS, Address, Credentials
from acmelike.rpc.sockets.ledger import Key
from acmelike.rpc.sockets.target import RemoteTarget

# How long to wait, after a connection was lost, for the news that the run has ended
# because of that. A caller has its error within a second of the death of a process.
NEWS_SECONDS = 0.5
# Between two tries to reach a process: at first, and at most.
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 1.0
# What the system says where this process, or its host, has no file descriptor left.
_NO_DESCRIPTOR = errno.EMFILE, errno.ENFILE
_NOT_THERE = "its process is not there"

logger = logging.getLogger("acmelike")


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


class AddressBook(NamedTuple):
    """Where the processes of a run listen.

    Attributes:
      version: a newer book has a larger one. It replaces the older one as a whole.
      by_label: the address of each node's process. A node that is not there has none,
        and calls of it wait until a newer book has one.
    """

    version: int
    by_label: Mapping[str, Address]

    @property
    def names(self) -> frozenset[str]:
        """The names in the certificates of these processes."""
        return frozenset(each.name for each in self.by_label.values() if each.name)


@dataclass
class _Absence:
    """What a node waits for, as its status tells it: the process of another node."""

    target: str
    reason: str = _NOT_THERE
    can_end_alone: bool = True


class Peers:
    """Makes clients of nodes that live in other processes, over a channel to each.

    A channel that is lost, or whose address is not in the newest book, is replaced at
    the next call. Where no process listens yet, or any more, calls wait: for a newer
    book, for the end of the run, or until their deadline.

    Args:
      credentials: of this process.
      heartbeat: a host that has vanished is found after so many seconds at most.

    Attributes:
      store: of this process.
    """

    def __init__(self, credentials: Credentials, heartbeat: float = HEARTBEAT_SECONDS):
        self._credentials, self._heartbeat = credentials, heartbeat
        # Guards what follows, and tells of a new book and of the end of the run.
        self._news = threading.Condition()
        self._book = AddressBook(-1, {})
        # The newest incarnation of each node's process that was in a book.
        self._incarnations: dict[str, int] = {}
        self._channels: dict[Address, Channel] = {}
        self._by_label: dict[str, Channel] = {}  # The same ones.
        self._reason: str | None = None
        self._is_closed = False
        # Whether it was logged that no connection can be opened, since one could be.
        self._has_warned = False
        self.store = Store(self._client_of_values)

    def client(self, peer: Peer, owner: str | None) -> Client:
        """A client of a node, for the thread of the node `owner`, or for any thread."""
        find_channel = partial(self._channel_to, peer.label)
        target = _target(peer.label, find_channel, peer.interface, peer.is_packed)
        return Client(target, peer.interface, owner)

    def take_book(self, book: AddressBook) -> bool:
        """Takes an address book; calls that waited for it are sent.

        One that is not newer than the last changes nothing.

        Returns:
          Whether it is newer.
        """
        with self._news:
            if book.version <= self._book.version:
                return False
            self._book = book
            for label, address in book.by_label.items():
                self._incarnations[label] = address.incarnation
            addresses = set(book.by_label.values())
            gone = [address for address in self._channels if address not in addresses]
            retired = [self._channels.pop(address) for address in gone]
            self._by_label = {}
            self._news.notify_all()
        # Without the lock: the values of refs that came this way may end with it.
        for channel in retired:
            channel.retire()
        return True

    def end(self, reason: str) -> None:
        """The run has ended: no call waits for a process any more."""
        with self._news:
            self._reason = self._reason or reason
            self._news.notify_all()

    def close(self) -> None:
        """Ends every call; the callers are woken. Later calls end at once."""
        self.end("the run ended")
        with self._news:
            self._is_closed = True
        for channel in self._all_channels():
            channel.close(self._reason or "")

    def dispose(self) -> None:
        """Releases sockets and memory, when no thread calls any more."""
        self.store.close()
        for channel in self._all_channels():
            channel.dispose()

    # --- The way to a process

    def _channel_to(self, label: str) -> Channel:
        """A channel to a node's process; waits until it can be reached.

        Raises:
          RpcTimeout: that was not before the deadline of the calling thread.
          RpcClosed: the run has ended.
        """
        channel = self._by_label.get(label)
        if channel is not None and not channel.is_over:
            return channel
        absence = _Absence(label)
        with _waiting(absence):
            pause = _FIRST_PAUSE
            while True:
                channel = self._wait_for_address(label)
                try:
                    return self._connected(channel)
                except OSError as error:
                    channel.retire()
                    absence.reason = self._why_absent(label, error)
                    self._wait_for_news(label, channel, pause, error)
                    pause = min(2 * pause, _MAX_PAUSE)

    def _connected(self, channel: Channel) -> Channel:
        """The channel, once it is connected; raises as `Channel.connect`."""
        channel.connect(seconds_left())
        self._has_warned = False
        return channel

    def _why_absent(self, label: str, error: OSError) -> str:
        """What a status says of a process that cannot be reached.

        If there is no file descriptor, no process can be reached. So one warning is
        enough, until a connection is opened.
        """
        if error.errno not in _NO_DESCRIPTOR:
            return _NOT_THERE
        with self._news:
            is_told, self._has_warned = self._has_warned, True
        if not is_told:
            words = "no connection to '%s' can be opened: %s; it is tried again"
            logger.warning(words, label, error.strerror)
        return f"no connection can be opened: {error.strerror}"

    def _wait_for_address(self, label: str) -> Channel:
        """A channel to where the book has a node's process, once it has it."""
        with self._news:
            self._news.wait_for(
                lambda: label in self._book.by_label or self._reason is not None,
                seconds_left(),
            )
            if label in self._book.by_label:
                return self._channel_at(label, self._book.by_label[label])
            if self._reason is not None:
                raise RpcClosed(f"{label}: {self._reason}")
            if self._book.version < 0:
                raise RpcTimeout(
                    f"{label}: the processes of the run are still starting"
                )
            raise RpcTimeout(f"{label}: its process is not there")

    def _wait_for_news(
        self, label: str, tried: Channel, pause: float, error: OSError
    ) -> None:
        """Waits, as there is nobody at an address, until it is worth another try."""
        left = seconds_left()
        with self._news:
            is_new = self._news.wait_for(
                lambda: (
                    self._reason is not None
                    or self._book.by_label.get(label) != tried.address
                ),
                pause if left is None else min(left, pause),
            )
            if self._reason is not None:
                raise RpcClosed(f"{label}: {self._reason}")
            if not is_new and left is not None and left <= pause:
                raise RpcTimeout(f"{label}: its process cannot be reached: {error}")

    def _channel_at(self, label: str, address: Address) -> Channel:
        """The channel to an address; a new one if the last is lost."""
        channel = self._channels.get(address)
        if channel is None or channel.is_over:
            if self._is_closed:
                raise RpcClosed(f"{label}: {self._reason}")
            channel = self._channels[address] = Channel(
                address,
                self._credentials,
                partial(self._why_run_ended, address),
                self.store,
                self._heartbeat,
            )
        self._by_label[label] = channel
        return channel

    def _why_run_ended(self, address: Address) -> str | None:
        """Why the run ended, if that comes soon after a connection was lost.

        It does not if a newer book says that the process was replaced.
        """
        with self._news:
            self._news.wait_for(
                lambda: (
                    self._reason is not None
                    or address not in self._book.by_label.values()
                ),
                NEWS_SECONDS,
            )
            return self._reason

    def _all_channels(self) -> list[Channel]:
        with self._news:
            return list(self._channels.values())

    # --- Stored values

    def _client_of_values(self, key: Key) -> Client:
        """A client of the values of the process that stored one."""
        find = partial(self._channel_to_incarnation, key.owner, key.incarnation)
        return Client(_target(VALUES, find, _OF_VALUES))

    def _channel_to_incarnation(self, label: str, incarnation: int) -> Channel:
        """A channel to this incarnation of a node's process, and to no other.

        Raises:
          RpcTimeout: it was not announced, or did not answer, before the deadline of
            the calling thread.
          RpcClosed: it has ended, or the run has.
        """
        pause = _FIRST_PAUSE
        while True:
            channel = self._find_incarnation(label, incarnation)
            try:
                return self._connected(channel)
            except TimeoutError:  # It is busy; if it has ended, there will be news.
                channel.retire()
                if seconds_left() == 0:
                    words = f"{label}: its process does not answer"
                    raise RpcTimeout(words) from None
            except OSError as error:
                channel.retire()
                # Nobody listens there any more, or another process. What else there
                # is may pass, such as a connection that the system has ended.
                is_gone = ConnectionRefusedError, FileNotFoundError, ValueError
                if isinstance(error, is_gone):
                    words = f"the process of '{label}' is gone ({error})"
                    raise RpcClosed(words) from None
                why = self._why_absent(label, error)
                with _waiting(_Absence(label, why)):
                    self._wait_for_news(label, channel, pause, error)
                pause = min(2 * pause, _MAX_PAUSE)

    def _find_incarnation(self, label: str, incarnation: int) -> Channel:
        """The channel to it, once it is announced; raises what its caller raises.

        A ref may arrive before the book that has its process. But a host that hears
        nothing for a heartbeat is lost, so a book is not later than that. If none has
        come by then, that process ended before this one was started.
        """
        left = seconds_left()
        patience = self._heartbeat if left is None else min(left, self._heartbeat)
        with self._news:
            self._news.wait_for(
                lambda: (
                    self._incarnations.get(label, -1) >= incarnation
                    or self._reason is not None
                ),
                patience,
            )
            address = self._book.by_label.get(label)
            if address is not None and address.incarnation == incarnation:
                return self._channel_at(label, address)
            if self._incarnations.get(label, -1) < incarnation and not self._reason:
                if patience == left:
                    raise RpcTimeout(f"{label}: its process is not there")
                raise RpcClosed(
                    f"no address of the process of '{label}' came in {patience:g} s"
                )
            raise RpcClosed(self._reason or f"the process of '{label}' has ended")


_OF_VALUES = interface_of(Values)


def _target(
    label: str,
    find_channel: Callable[[], Channel],
    interface: Interface | None,
    is_packed: bool = False,
) -> RemoteTarget:
    """A node, whose idempotent methods are known if its interface is."""
    idempotent = frozenset() if interface is None else interface.idempotent
    return RemoteTarget(label, find_channel, idempotent, is_packed)


def _waiting(absence: _Absence) -> AbstractContextManager[None]:
    """Says in the status of the calling node what it waits for."""
    context = current_context()
    if context is None:
        return nullcontext()
    return context.metrics.waiting(absence)
