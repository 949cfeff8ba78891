"""The line between the launcher and one of its processes."""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from acmelike.core.status import NodeStatus
from acmelike.graph import Entry, Handle
from acmelike.rpc.sockets.frames import CONTROL, Reader, encode
from acmelike.rpc.sockets.server import send_some


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The first message to a process: what it is to run. Later ones are small.

    Attributes:
      entries: the nodes that live there.
      labels: of every node of the program.
    """

    entries: Mapping[Handle, Entry]
    labels: Mapping[Handle, str]


class Addresses(NamedTuple):
    """To a process: where every node's process listens, by the node's label."""

    by_label: Mapping[str, str]


class End(NamedTuple):
    """To a process: the run is over, and why."""

    reason: str


class AskStatus(NamedTuple):
    """To a process: say what your nodes do."""

    number: int


class Listening(NamedTuple):
    """From a process: it has bound its address."""

    address: str


class StatusReply(NamedTuple):
    """From a process: the answer to `AskStatus`, or unasked its last words."""

    number: int | None
    status: Mapping[str, NodeStatus]


class Stopped(NamedTuple):
    """From a process: one of its nodes ended the run."""

    reason: str


class Failed(NamedTuple):
    """From a process: one of its nodes raised; `error` is from `to_wire`."""

    label: str
    where: str
    error: Any


class WorkEnded(NamedTuple):
    """From a process: what is left to do there."""

    has_work: bool
    has_worker: bool


class ControlConnection:
    """Sends and receives messages, whole and in order.

    Args:
      sock: one end of a socket pair.
    """

    def __init__(self, sock: socket.socket):
        sock.setblocking(False)
        self._sock, self._reader = sock, Reader(sock)
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Sends a message, unless the other end is gone: then `receive` says so."""
        with self._lock:
            frame = encode(CONTROL, 0, message)
            pieces = deque(memoryview(p).cast("B") for p in frame.pieces)
            try:
                while not send_some(self._sock, pieces):
                    self._wait(select.POLLOUT)
            except OSError:
                return

    def receive(self) -> Any:
        """The next message; None when the other end is gone."""
        while True:
            try:
                return self._reader.read().value
            except BlockingIOError:
                self._wait(select.POLLIN)
            except (EOFError, OSError):
                return None

    def close(self) -> None:
        """Gives the socket back."""
        self._sock.close()

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._sock, event)
        poll.poll()
