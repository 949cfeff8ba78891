"""Frames: the layout of messages on a stream between two processes.

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
      request: the number of the request that it belongs to.
      value: any object.
      num_bytes: size of its pickle and its buffers.
    """

    kind: int
    request: int
    value: Any
    num_bytes: int


class Encoded(NamedTuple):
    """A message that is ready to be sent.

    Attributes:
      pieces: the bytes to send, in order.
      num_bytes: size of its pickle and its buffers, those in shared memory included.
    """

    pieces: list[bytes | memoryview]
    num_bytes: int


class Payload(NamedTuple):
    """A pickled value, which can go into any number of frames.

    Attributes:
      body: the pickle.
      views: the buffers out of band.
    """

    body: bytes
    views: list[memoryview]


class PayloadCache:
    """Pickles each value once, if it is sent to several callers at the same time.

    Use it for one moment only: a value that changes later would be sent as it was.
    """

    def __init__(self) -> None:
        # With the values, because an id is unique only while its object lives.
        self._by_id: dict[int, tuple[Any, Payload]] = {}

    def of(self, value: Any) -> Payload:
        """The payload of a value."""
        if id(value) not in self._by_id:
            self._by_id[id(value)] = value, make_payload(value)
        return self._by_id[id(value)][1]


def encode(
    kind: int, request: int, value: Any, shared: SharedMemory | None = None
) -> Encoded:
    """Pickles a value and makes a frame of it; arguments as for `make_frame`."""
    return make_frame(kind, request, make_payload(value), shared)


def make_frame(
    kind: int, request: int, value: Payload, shared: SharedMemory | None = None
) -> Encoded:
    """Makes a frame.

    Args:
      kind: one of the constants of this module.
      request: the number of the request that it belongs to.
      value: its content.
      shared: the shared memory of the connection, or None. With it, the frame has to
        be sent, because it may have taken a slot.
    """
    body, views = value
    pieces: list[bytes | memoryview] = []
    slot, released = None, 0
    if shared is not None:
        if large := [view for view in views if view.nbytes >= LARGE_BYTES]:
            slot = shared.lender.put(large)
            if slot is None and (offer := shared.lender.offer(large)):
                # Before the frame, so that the answer to it can say that it is mapped.
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


def make_payload(value: Any) -> Payload:
    """Pickles a value, with cloudpickle if that is needed."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=buffers.append)
    pickler.dispatch_table = _REDUCTIONS
    try:
        pickler.dump(value)
        body = file.getvalue()
        if b"__main__" not in body:
            return Payload(body, [buffer.raw() for buffer in buffers])
    except Exception:
        pass  # Such as a local function, which cloudpickle can send.
    # Cloudpickle costs ten times as much, but it sends by value what only this process
    # can import.
    buffers, file = [], io.BytesIO()
    cloudpickle.Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    return Payload(file.getvalue(), [buffer.raw() for buffer in buffers])


def _reduce(array: Any) -> Any:
    """Reduces an array for pickle; arrays of plain numbers in a short form.

    NumPy's own form takes a third longer to write and three times as long to read,
    which is most of the cost of sending a few small arrays.
    """
    dtype = array.dtype
    if dtype.kind in "biufc" and array.size and array.flags.c_contiguous:
        return np.ndarray, (array.shape, dtype.str, pickle.PickleBuffer(array))
    return array.__reduce_ex__(5)


class _Reductions(dict[type, Any]):
    """The reduction of arrays, and otherwise those of `copyreg`."""

    def __missing__(self, kind: type) -> Any:
        return copyreg.dispatch_table[kind]


_REDUCTIONS = _Reductions({np.ndarray: _reduce})


class FrameReader:
    """Reads frames from a socket.

    Args:
      sock: a stream socket; `read` blocks if it does.
      shared: the shared memory of the connection, or None.
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
          BlockingIOError: the socket does not block and has no whole frame yet; what
            has arrived is kept.
          EOFError: the other end closed the stream.
          RpcError: the stream has no frames, or frames of another version.
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
            self._shared.lender.release(released)
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
