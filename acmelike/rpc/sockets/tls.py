"""A socket with TLS that can be used as one without."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any

# What TLS encrypts at once, and so what it sends or receives in one call of it. Pieces
# that fit into it together are sent as one.
_RECORD_BYTES = 2**14
# So much at most before the other direction may have its turn.
_MAX_BYTES = 2**18


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

    def peer_name(self) -> str:
        """The name in the other end's certificate; "" if it has shown none."""
        certificate = self._sock.getpeercert() or {}
        subject: Any = certificate.get("subject", ())
        for part in subject:
            for key, value in part:
                if key == "commonName":
                    return str(value)
        return ""

    def recv_into(self, view: memoryview) -> int:
        with self._lock:
            num_received = num_more = self._receive(view)
            # A full record is seldom the last one.
            end = min(len(view), _MAX_BYTES)
            while num_more == _RECORD_BYTES and num_received < end:
                try:
                    num_more = self._receive(view[num_received:])
                except OSError:
                    break  # Nothing has arrived, or the next call raises it again.
                num_received += num_more
            return num_received

    def _receive(self, view: memoryview) -> int:
        try:
            return self._sock.recv_into(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLZeroReturnError:
            return 0

    def send(self, piece: bytes | memoryview) -> int:
        return self.sendmsg([piece])

    def sendmsg(self, pieces: Sequence[bytes | memoryview]) -> int:
        piece, num_sent = memoryview(_joined(pieces))[:_MAX_BYTES], 0
        with self._lock:
            while num_sent < len(piece):
                try:
                    num_sent += self._sock.send(piece[num_sent:])
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    if num_sent:
                        break
                    raise BlockingIOError from None
        return num_sent

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
