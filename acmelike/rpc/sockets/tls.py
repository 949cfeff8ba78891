"""A socket with TLS that can be used as one without."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence

# Pieces that fit into one record of TLS are encrypted together.
_RECORD_BYTES = 2**14


class TlsSocket:
    """The part of a socket's methods that `Stream` needs.

    OpenSSL allows one thread in a connection at a time. So there is a lock, and no
    thread that holds it waits for the network.

    Args:
      sock: connected.
    """

    def __init__(self, sock: ssl.SSLSocket):
        self._sock = sock
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, is_blocking: bool) -> None:
        self._sock.setblocking(is_blocking)

    def greet(self) -> None:
        """Shows the certificates to each other.

        Raises:
          BlockingIOError: the other end's is still to come.
          OSError: it has none of this run.
        """
        with self._lock:
            try:
                self._sock.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None

    def recv_into(self, view: memoryview) -> int:
        with self._lock:
            try:
                return self._sock.recv_into(view)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None
            except ssl.SSLZeroReturnError:
                return 0

    def send(self, piece: bytes | memoryview) -> int:
        return self.sendmsg([piece])

    def sendmsg(self, pieces: Sequence[bytes | memoryview]) -> int:
        with self._lock:
            try:
                return self._sock.send(_joined(pieces))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        self._sock.close()


def _joined(pieces: Sequence[bytes | memoryview]) -> bytes | memoryview:
    """The first pieces that fit into a record together, or the first one."""
    if len(pieces) == 1 or len(pieces[0]) >= _RECORD_BYTES:
        return pieces[0]
    first, left = [], _RECORD_BYTES
    for piece in pieces:
        if len(piece) > left:
            break
        first.append(piece)
        left -= len(piece)
    return b"".join(first)
