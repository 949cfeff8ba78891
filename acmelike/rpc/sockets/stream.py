"""A stream of bytes to another process, and what could not be sent on it yet."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acmelike.rpc.sockets.tls import TlsSocket

# So many pieces are given to the system at once; it takes no more than 1024.
_MAX_PIECES = 256
# What says that the other end has closed a stream; not every system has it.
_ENDED = getattr(select, "POLLRDHUP", 0)
_READABLE = int(select.POLLIN)
_MAX_POLL_SECONDS = 3600.0  # `poll` takes no more than some weeks.


class Stream:
    """A stream socket, with TLS or without, that never blocks.

    Any thread may send. What the socket does not take is kept, in order, and is sent by
    whoever calls `send` or `flush` next. One thread at a time may receive.

    Args:
      sock: connected. The stream owns it from now on.

    Attributes:
      num_unsent: bytes that are kept.
      num_taken: bytes that the socket has taken so far.
      is_drained: whether the last `receive_into` took all that had arrived.
    """

    def __init__(self, sock: socket.socket | TlsSocket):
        sock.setblocking(False)
        self._sock = sock
        # What TLS has decrypted already is not seen by `wait`; so all is to be read.
        self._is_tls = not isinstance(sock, socket.socket)
        self._lock = threading.Lock()
        # Kept, as it takes a while to make one; for one thread at a time.
        self._poll = _poll(sock, select.POLLIN)
        self._polling = threading.Lock()
        self._unsent: deque[memoryview] = deque()
        self.num_unsent = self.num_taken = 0
        self.is_drained = False

    def fileno(self) -> int:
        """Of the socket; -1 after `close`."""
        return self._sock.fileno()

    def receive_into(self, view: memoryview) -> int:
        """Receives at most as many bytes as fit; returns how many.

        Raises:
          BlockingIOError: nothing has arrived.
          EOFError: the other end has closed the stream, and all was received.
          OSError: the connection is lost.
        """
        num_received, size = self._sock.recv_into(view), len(view)
        if num_received == 0 and size:
            raise EOFError
        self.is_drained = num_received < size and not self._is_tls
        return num_received

    def send(self, pieces: Sequence[bytes | memoryview]) -> bool:
        """Sends bytes as `put`; returns whether the socket has taken all."""
        return self.put(pieces) <= self.num_taken

    def put(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Sends bytes behind those that are kept.

        Returns:
          Where they end, among all bytes of the stream: when `num_taken` is as large,
          the socket has taken them.

        Raises:
          OSError: the connection is lost, and the socket has not taken them all.
        """
        with self._lock:
            num_pieces, takes_more = len(pieces), True
            if not self._unsent and num_pieces <= _MAX_PIECES:
                try:
                    if num_pieces == 1:  # As of a small message; that is quicker.
                        num_bytes = len(pieces[0])
                        num_sent = self._sock.send(pieces[0])
                    else:
                        num_bytes = sum(map(len, pieces))
                        num_sent = self._sock.sendmsg(pieces)
                except BlockingIOError:
                    num_sent = 0
                if num_sent == num_bytes:
                    self.num_taken += num_bytes
                    return self.num_taken
                self._keep(pieces, num_bytes)
                self._drop(num_sent)
                takes_more = num_sent > 0
            else:
                self._keep(pieces, sum(map(len, pieces)))
            end = self.num_taken + self.num_unsent
            if takes_more:
                self._flush()
            return end

    def flush(self) -> bool:
        """Sends what is kept, as far as the socket takes it; returns whether all is.

        Raises:
          OSError: the connection is lost.
        """
        with self._lock:
            return self._flush()

    def wait(self, seconds: float | None, to_send: bool = False) -> bool:
        """Waits until it can be received from, or sent to if something is kept.

        Also for its end. What is kept is then sent as far as possible.

        Args:
          seconds: at most; None without a limit.
          to_send: whether to wait until it can be sent to in any case, as another
            thread may have sent what was kept.

        Returns:
          Whether there is something to receive; False also if the time is up.
        """
        if to_send or self._unsent or not self._polling.acquire(False):
            is_sending = to_send or bool(self._unsent)
            events = select.POLLIN | (select.POLLOUT if is_sending else 0)
            happened = _happened(_poll(self._sock, events), seconds)
        else:
            try:
                if seconds is None:
                    happened = self._poll.poll()[0][1]
                else:
                    happened = _happened(self._poll, seconds)
            finally:
                self._polling.release()
        if happened == _READABLE:  # As nearly always.
            return True
        if happened & select.POLLOUT:
            self.flush()
        return bool(happened & ~select.POLLOUT)

    def has_ended(self) -> bool:
        """Whether the other end has closed it; what it sent before may be unread."""
        try:
            return bool(_happened(_poll(self._sock, _ENDED), 0.0))
        except ValueError:  # It was lost and closed meanwhile.
            return True

    def end(self) -> None:
        """Ends the stream for both sides; who waits for it is woken."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The other end has closed it already.

    def close(self) -> None:
        """Closes the socket, when no thread uses it any more."""
        with self._lock:
            self._sock.close()
            self._unsent.clear()
            self.num_unsent = 0

    def _keep(self, pieces: Sequence[bytes | memoryview], num_bytes: int) -> None:
        self._unsent.extend(memoryview(piece) for piece in pieces)
        self.num_unsent += num_bytes

    def _flush(self) -> bool:
        while self._unsent:
            try:
                first = list(itertools.islice(self._unsent, _MAX_PIECES))
                self._drop(self._sock.sendmsg(first))
            except BlockingIOError:
                return False
        return True

    def _drop(self, num_sent: int) -> None:
        self.num_taken += num_sent
        self.num_unsent -= num_sent
        while self._unsent and num_sent >= len(self._unsent[0]):
            num_sent -= len(self._unsent.popleft())
        if num_sent:
            self._unsent[0] = self._unsent[0][num_sent:]


def _poll(sock: socket.socket | TlsSocket, events: int) -> select.poll:
    poll = select.poll()
    poll.register(sock, events)
    return poll


def _happened(poll: select.poll, seconds: float | None) -> int:
    """Waits for events of the socket, at most so long; returns those that came."""
    if seconds is None:
        found = poll.poll()
    else:
        found = poll.poll(min(seconds, _MAX_POLL_SECONDS) * 1000)
    return found[0][1] if found else 0
