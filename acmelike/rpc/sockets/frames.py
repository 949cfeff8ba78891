"""Frames: how a message is laid out on a stream between two processes.

    | magic 2 | version 1 | kind 1 | number of buffers 4 | request 8 | length 8 |
    | slot 4 | released 4 | length of each buffer, 8 | pickle | buffers |

Little endian. The pickle is protocol 5 with the arrays out of band, so that an array's
bytes are sent from where they are and arrive where they will be used: read-only views
of one block of memory for each frame. Pickles are trusted: one user owns both ends.

On one host, large buffers are in memory that both ends share, in the frame's slot, and
their lengths are negative. `shared_memory` says what slots are, and what is released.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import socket
import struct
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from acmelike.errors import RpcError
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES, Offer, SharedMemory, padded

_HEADER = struct.Struct("<2sBBIQQiI")
_MAGIC, _VERSION = b"aL", 2
_NO_SLOT = -1

CALL, CANCEL, RESULT, ERROR, CONTROL, OFFER = range(6)


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


class Encoded(NamedTuple):
    """A message that can be sent.

    Attributes:
      pieces: what to send, one after the other.
      num_bytes: of its pickle and its buffers, wherever they are.
    """

    pieces: list[bytes | memoryview]
    num_bytes: int


class Pickled(NamedTuple):
    """A value, ready for any number of frames.

    Attributes:
      body: its pickle.
      views: the buffers beside it.
    """

    body: bytes
    views: list[memoryview]


class Pickles:
    """Values that are sent to several at once, each of them pickled once.

    It is for one moment: a value that changes later would be sent as it was.
    """

    def __init__(self) -> None:
        # With the values, as an id is theirs only as long as they live.
        self._by_id: dict[int, tuple[Any, Pickled]] = {}

    def of(self, value: Any) -> Pickled:
        """The pickle of a value."""
        if id(value) not in self._by_id:
            self._by_id[id(value)] = value, pickled(value)
        return self._by_id[id(value)][1]


def encode(
    kind: int, request: int, value: Any, shared: SharedMemory | None = None
) -> Encoded:
    """A frame of any value that can be pickled; see `frame_of`."""
    return frame_of(kind, request, pickled(value), shared)


def frame_of(
    kind: int, request: int, value: Pickled, shared: SharedMemory | None = None
) -> Encoded:
    """A frame.

    Args:
      kind: one of the constants of this module.
      request: what it belongs to.
      value: what it carries.
      shared: of the connection that it goes to, if that has any. What is encoded must
        be sent then, as it may have taken a slot.
    """
    body, views = value
    pieces: list[bytes | memoryview] = []
    slot, released = None, 0
    if shared is not None:
        if large := [view for view in views if view.nbytes >= LARGE_BYTES]:
            slot = shared.lender.put(large)
            if slot is None and (offer := shared.lender.offer(large)):
                # Ahead of the frame, so that its answer can say that it is mapped.
                pieces += encode(OFFER, *offer).pieces
        released = shared.borrower.take_released()
    lengths: list[int] = []
    streamed: list[bytes | memoryview] = []
    for view in views:
        is_in_slot = slot is not None and view.nbytes >= LARGE_BYTES
        lengths.append(-view.nbytes if is_in_slot else view.nbytes)
        if not is_in_slot:
            streamed.append(view)
            if padding := _padding(view.nbytes):
                streamed.append(padding)
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        kind,
        len(views),
        request,
        len(body),
        _NO_SLOT if slot is None else slot,
        released,
    )
    sizes = struct.pack(f"<{len(lengths)}q", *lengths)
    pieces.append(header + sizes + body + _padding(len(body)))
    pieces += streamed
    return Encoded(pieces, len(body) + sum(map(abs, lengths)))


def pickled(value: Any) -> Pickled:
    """The value, by cloudpickle if it needs that."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=buffers.append)
    pickler.dispatch_table = _REDUCTIONS
    try:
        pickler.dump(value)
        body = file.getvalue()
        if b"__main__" not in body:
            return Pickled(body, [buffer.raw() for buffer in buffers])
    except Exception:
        pass  # Such as a function made on the spot, which cloudpickle can send.
    # Its Python code costs ten times as much, but it sends by value what only this
    # process can import.
    buffers, file = [], io.BytesIO()
    cloudpickle.Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    return Pickled(file.getvalue(), [buffer.raw() for buffer in buffers])


def _reduce(array: Any) -> Any:
    """What NumPy says of an array, or where it is of plain numbers, the same shorter.

    NumPy's own takes a third longer to make and three times as long to read, which is
    most of what it takes to send a few small arrays.
    """
    dtype = array.dtype
    if dtype.kind in "biufc" and array.size and array.flags.c_contiguous:
        return np.ndarray, (array.shape, dtype.str, pickle.PickleBuffer(array))
    return array.__reduce_ex__(5)


class _Reductions(dict[type, Any]):
    """That of arrays, besides those that everybody's pickles have."""

    def __missing__(self, kind: type) -> Any:
        return copyreg.dispatch_table[kind]


_REDUCTIONS = _Reductions({np.ndarray: _reduce})


class Reader:
    """Puts frames together from what a socket has to give.

    Args:
      sock: a stream socket; whether it blocks decides whether `read` does.
      shared: what the other end encodes with, if it does.
    """

    def __init__(self, sock: socket.socket, shared: SharedMemory | None = None):
        self._sock, self._shared = sock, shared
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
            elif (frame := self._finish()).kind != OFFER:
                return frame
            elif self._shared is not None:
                self._shared.borrower.accept(frame.request, Offer(*frame.value))

    def _expect(self, view: memoryview) -> None:
        self._view, self._filled = view, 0

    def _fill(self) -> None:
        while self._filled < len(self._view):
            received = self._sock.recv_into(self._view[self._filled :])
            if received == 0:
                raise EOFError
            self._filled += received

    def _begin(self) -> None:
        (
            magic,
            version,
            self._kind,
            num_buffers,
            self._request,
            self._length,
            self._slot,
            released,
        ) = _HEADER.unpack(self._header)
        if magic != _MAGIC or version != _VERSION:
            raise RpcError(f"the stream has no frames of version {_VERSION}")
        if released and self._shared is not None:
            self._shared.lender.take_back(released)
        self._sizes = bytearray(8 * num_buffers)
        self._expect(memoryview(self._sizes))

    def _allocate(self) -> None:
        assert self._sizes is not None
        self._lengths = [
            self._length,
            *struct.unpack(f"<{len(self._sizes) // 8}q", self._sizes),
        ]
        size = sum(padded(length) for length in self._lengths if length >= 0)
        self._block = bytearray(size)
        self._expect(memoryview(self._block))

    def _finish(self) -> Frame:
        assert self._block is not None
        block, start = memoryview(self._block).toreadonly(), 0
        slot, slot_start = block, 0
        if self._slot != _NO_SLOT:
            assert self._shared is not None
            slot = self._shared.borrower.borrow(self._slot)
        parts = []
        for length in self._lengths:
            if length >= 0:
                parts.append(block[start : start + length])
                start += padded(length)
            else:
                parts.append(slot[slot_start : slot_start - length])
                slot_start += padded(-length)
        value = pickle.loads(parts[0], buffers=parts[1:])
        num_bytes = sum(map(abs, self._lengths))
        frame = Frame(self._kind, self._request, value, num_bytes)
        self._sizes = self._block = None
        self._expect(memoryview(self._header))
        return frame


def _padding(length: int) -> bytes:
    return bytes(padded(length) - length)
