"""The control connection between the launcher and one of its processes.

The launcher also sends an `AddressBook` whenever it has a newer one, and a
`Certificate` in answer to a `SigningRequest`.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from acmelike.core.status import NodeStatus
from acmelike.graph import Entry, Handle
from acmelike.launchers.exposed import Endpoint, ExposedNode
from acmelike.rpc import Address, Peer
from acmelike.rpc.failure import WireError
from acmelike.rpc.sockets.frames import CONTROL, FrameReader, encode
from acmelike.rpc.sockets.stream import Stream

if TYPE_CHECKING:
    from acmelike.rpc.sockets.tls import TlsSocket


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """To a process, as the first message: what to run. Later messages are small.

    Attributes:
      entries: the nodes that live there.
      peers: every node of the program.
      key: of the run, by which its processes on one host recognise each other.
      is_near: whether to listen for processes of the same host.
      far_ip: where to listen for those of other hosts; None in a run of one host.
      heartbeat: the loss of a host is noticed after so many seconds at most.
      incarnation: how often the process was restarted before.
      exposed: those of its nodes that other programs may call, by label.
    """

    entries: Mapping[Handle, Entry]
    peers: Mapping[Handle, Peer]
    key: bytes
    is_near: bool
    far_ip: str | None
    heartbeat: float
    incarnation: int
    exposed: Mapping[str, ExposedNode]

    @property
    def needs_identity(self) -> bool:
        """Whether the process has to show a certificate to others."""
        exposures = [node.exposure for node in self.exposed.values()]
        return self.far_ip is not None or any(each.tls for each in exposures)


class EndOfRun(NamedTuple):
    """To a process: the run is over, and why."""

    reason: str


class StatusRequest(NamedTuple):
    """To a process: report the status of your nodes."""

    number: int


class SigningRequest(NamedTuple):
    """From a process with callers over TLS: sign this key; `Certificate` answers."""

    public_key: bytes


class ListenReport(NamedTuple):
    """From a process: its address, and the endpoints for other programs."""

    address: Address
    endpoints: Mapping[str, Endpoint]


class StatusReply(NamedTuple):
    """From a process: the answer to a `StatusRequest`, or its last status, unasked."""

    number: int | None
    status: Mapping[str, NodeStatus]


class StopReport(NamedTuple):
    """From a process: one of its nodes ended the run."""

    reason: str


class FailureReport(NamedTuple):
    """From a process: one of its nodes raised, and whether it had worked before."""

    label: str
    where: str
    error: WireError
    has_worked: bool


class WorkReport(NamedTuple):
    """From a process: what is left to do there."""

    has_work: bool
    has_worker: bool


class ControlConnection:
    """Sends and receives messages, whole and in order.

    Args:
      sock: one end of a socket pair, or of a connection to another host.

    Attributes:
      stream: sends and receives the bytes.
      reader: reads messages from the stream.
    """

    def __init__(self, sock: socket.socket | TlsSocket):
        self.stream = Stream(sock)
        self.reader = FrameReader(self.stream)
        self._lock = threading.Lock()

    def send(self, message: Any, seconds: float | None = None) -> None:
        """Sends a message. If the other end is gone, `receive` says so.

        If the other end does not take all of it within `seconds`, as when it is
        stopped, the rest is kept and sent before the next message.
        """
        limit = None if seconds is None else time.monotonic() + seconds
        with self._lock, suppress(OSError):
            is_sent = self.stream.send(encode(CONTROL, 0, message).pieces)
            while not is_sent:
                self._wait(select.POLLOUT, limit)
                is_sent = self.stream.flush()

    def flush(self) -> None:
        """Sends what was kept, as far as the other end takes it."""
        with self._lock, suppress(OSError):
            self.stream.flush()

    def receive(self, seconds: float | None = None) -> Any:
        """The next message; None when the other end is gone.

        Raises:
          TimeoutError: it did not come within `seconds`.
        """
        limit = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                frame = self.reader.read()
            except BlockingIOError:
                self._wait(select.POLLIN, limit)
            except (EOFError, OSError):
                return None
            else:
                if frame.error is not None:
                    raise frame.error
                return frame.value

    def close(self) -> None:
        """Closes the socket."""
        self.stream.close()

    def _wait(self, event: int, limit: float | None = None) -> None:
        poll = select.poll()
        poll.register(self.stream, event)
        if limit is None:
            poll.poll()
        elif not poll.poll(max(0.0, limit - time.monotonic()) * 1000):
            raise TimeoutError("the other end has said nothing in time")
