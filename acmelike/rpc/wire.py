"""Frames: how a message is laid out on a stream between two processes.

    | magic 2 | version 1 | kind 1 | number of buffers 4 | request 8 | length 8 |
    | length of each buffer, 8 | pickle | buffers |

Little endian. The pickle is protocol 5 with the arrays out of band, so that an array's
bytes are sent from where they are and arrive where they will be used: read-only views
of one block of memory for each frame. Pickles are trusted: one user owns both ends.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
from typing import Any, NamedTuple

import cloudpickle

from acmelike.errors import RpcError

_HEADER = struct.Struct("<2sBBIQQ")
_MAGIC, _VERSION = b"aL", 1
# Arrays begin at multiples of this, which JAX and SIMD code want.
_ALIGNMENT = 64

CALL, CANCEL, RESULT, ERROR, CONTROL = range(5)


class Frame(NamedTuple):
    """One message.

    Attributes:
      kind: one of the constants of this module.
      request: what it belongs to.
      value: any object.
      num_bytes: of its pickle and its buffers.
    """

    kind: int
    request: int
    value: Any
    num_bytes: int


def encode(kind: int, request: int, value: Any) -> list[bytes | memoryview]:
    """A frame as pieces to send one after the other."""
    body, buffers = _pickled(value)
    views = [buffer.raw() for buffer in buffers]
    header = _HEADER.pack(_MAGIC, _VERSION, kind, len(views), request, len(body))
    sizes = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
    pieces: list[bytes | memoryview] = [header + sizes + body + _padding(len(body))]
    for view in views:
        pieces.append(view)
        if padding := _padding(view.nbytes):
            pieces.append(padding)
    return pieces


def _pickled(value: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    buffers: list[pickle.PickleBuffer] = []
    try:
        body = pickle.dumps(value, 5, buffer_callback=buffers.append)
        if b"__main__" not in body:
            return body, buffers
    except Exception:
        pass  # Such as a function made on the spot, which cloudpickle can send.
    # Its Python code costs ten times as much, but it sends by value what only this
    # process can import.
    buffers, file = [], io.BytesIO()
    cloudpickle.Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    return file.getvalue(), buffers


class Reader:
    """Puts frames together from what a socket has to give.

    Args:
      sock: a stream socket; whether it blocks decides whether `read` does.
    """

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._header = bytearray(_HEADER.size)
        self._expect(memoryview(self._header))
        self._sizes: bytearray | None = None
        self._block: bytearray | None = None

    def read(self) -> Frame:
        """The next frame.

        Raises:
          BlockingIOError: the socket does not block and has no whole frame yet; what it
            had is kept.
          EOFError: the other end closed the stream.
          RpcError: these are no frames, or of another version.
        """
        while True:
            self._fill()
            if self._sizes is None:
                self._begin()
            elif self._block is None:
                self._allocate()
            else:
                return self._finish()

    def _expect(self, view: memoryview) -> None:
        self._view, self._filled = view, 0

    def _fill(self) -> None:
        while self._filled < len(self._view):
            received = self._sock.recv_into(self._view[self._filled :])
            if received == 0:
                raise EOFError
            self._filled += received

    def _begin(self) -> None:
        magic, version, self._kind, num_buffers, self._request, self._length = (
            _HEADER.unpack(self._header)
        )
        if magic != _MAGIC or version != _VERSION:
            raise RpcError(f"the stream has no frames of version {_VERSION}")
        self._sizes = bytearray(8 * num_buffers)
        self._expect(memoryview(self._sizes))

    def _allocate(self) -> None:
        assert self._sizes is not None
        self._lengths = [
            self._length,
            *struct.unpack(f"<{len(self._sizes) // 8}Q", self._sizes),
        ]
        self._block = bytearray(sum(map(_padded, self._lengths)))
        self._expect(memoryview(self._block))

    def _finish(self) -> Frame:
        assert self._block is not None
        whole, start, parts = memoryview(self._block).toreadonly(), 0, []
        for length in self._lengths:
            parts.append(whole[start : start + length])
            start += _padded(length)
        value = pickle.loads(parts[0], buffers=parts[1:])
        frame = Frame(self._kind, self._request, value, sum(self._lengths))
        self._sizes = self._block = None
        self._expect(memoryview(self._header))
        return frame


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _padding(length: int) -> bytes:
    return bytes(_padded(length) - length)
