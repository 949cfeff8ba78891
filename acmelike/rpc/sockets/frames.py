"""Frames: the layout of messages on a stream between two processes.

    | checksum 4 | magic 2 | version 1 | kind 1 | number of buffers 4 | slot 4 |
    | request 8 | length 8 | released 4 | length of each buffer, 8 | pickle | buffers |

Little endian; the pickle and each buffer are padded to a multiple of 64 bytes. The
checksum is the CRC-32 of what follows it, without the buffers: a pickle with an error
in it may take any time and memory. The pickle is protocol 5 with
the arrays out of band, so that an array's bytes are sent from where they are and arrive
where they will be used: read-only views of one block of memory for each frame. Pickles
are trusted: before the first frame each end has shown the other that it belongs to the
run (`credentials`).

On one host, large buffers are in memory that both ends share, in the frame's slot, and
their lengths are negative. `shared_memory` says what slots are, and what is released.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
import zlib
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from acmelike.errors import RpcError
from acmelike.rpc.sockets.shared_memory import (
    ALIGNMENT,
    LARGE_BYTES,
    NUM_SLOTS,
    Offer,
    SharedMemory,
    padded,
)
from acmelike.rpc.sockets.stream import Stream

_CHECKSUM = struct.Struct("<I")
_HEADER = struct.Struct("<I2sBBIiQqI")
_MAGIC, _VERSION = b"aL", 3
_NO_SLOT = -1

CALL, CANCEL, RESULT, ERROR, CONTROL, OFFER = _KINDS = range(6)

# What one frame may have at most.
MAX_BUFFERS = 2**20
MAX_BYTES = 2**36
# Frames that are smaller are read with one call of the system.
_BUFFER_BYTES = 2**16
# So much address space is taken at once for what a frame says that it has. More is
# taken, each time twice as much, when that has arrived.
_MAX_AHEAD_BYTES = 2**28


class _Header(NamedTuple):
    """The first bytes of a frame."""

    checksum: int
    magic: bytes
    version: int
    kind: int
    num_buffers: int
    slot: int
    request: int
    length: int
    released: int


class Frame(NamedTuple):
    """One message.

    Attributes:
      kind: one of the constants of this module.
      request: the number of the request that it belongs to.
      value: any object.
      num_bytes: size of its pickle and its buffers.
      error: what was raised when the value was made of its bytes, or None.
    """

    kind: int
    request: int
    value: Any
    num_bytes: int
    error: BaseException | None


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

    @property
    def num_bytes(self) -> int:
        """The size of both."""
        return len(self.body) + sum(view.nbytes for view in self.views)


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

    Raises:
      RpcError: the value has too many arrays or bytes for one message.
    """
    body, views = value
    num_bytes = value.num_bytes
    if len(views) > MAX_BUFFERS or num_bytes > MAX_BYTES:
        raise RpcError(
            f"a message of {len(views):,} arrays and {num_bytes:,} bytes is too large: "
            f"it may have {MAX_BUFFERS:,} and {MAX_BYTES:,}"
        )
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
        0,
        _MAGIC,
        _VERSION,
        kind,
        len(views),
        _NO_SLOT if slot is None else slot,
        request,
        len(body),
        released,
    )
    start = header[_CHECKSUM.size :] + struct.pack(f"<{len(lengths)}q", *lengths) + body
    checksum = _CHECKSUM.pack(zlib.crc32(start))
    pieces.append(checksum + start + _padding(len(body)))
    pieces += streamed
    return Encoded(pieces, num_bytes)


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
    """Reads frames from a stream.

    Nothing that a frame says of its size is believed before the bytes have arrived: a
    large part takes memory page by page, as it is filled.

    Args:
      stream: `read` never blocks.
      shared: the shared memory of the connection, or None.
    """

    def __init__(self, stream: Stream, shared: SharedMemory | None = None):
        self._stream, self._shared = stream, shared
        # What has arrived and is not read yet.
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._end = 0
        # A part that is larger than the buffer, and how much of it has arrived.
        self._block: memoryview | None = None
        self._filled = 0
        self._header: _Header | None = None
        self._lengths: tuple[int, ...] | None = None
        self._checksum = 0
        self._is_drained = False

    @property
    def is_between_frames(self) -> bool:
        """Whether no part of a frame has arrived whose end has not."""
        return self._header is None and self._start == self._end

    def read_bytes(self, num_bytes: int) -> bytes:
        """So many bytes, which are no frame; it raises what `read` raises."""
        while (view := self._take(num_bytes)) is None:
            self._receive()
        return bytes(view)

    def read(self) -> Frame:
        """The next frame.

        Raises:
          BlockingIOError: there is no whole frame yet; what has arrived is kept.
          EOFError: the other end closed the stream.
          OSError: the connection is lost.
          RpcError: what arrives is no frame, or a frame of another version.
        """
        while True:
            frame = self._parse()
            if frame is None:
                self._receive()
            elif frame.kind != OFFER:
                return frame
            elif self._shared is not None:
                self._shared.borrower.accept(frame.request, _offer(frame))

    def _parse(self) -> Frame | None:
        """The next frame of what has arrived; None if its end has not."""
        if self._header is None:
            if (view := self._take(_HEADER.size)) is None:
                return None
            self._header = _checked(_Header(*_HEADER.unpack(view)))
            self._checksum = zlib.crc32(view[_CHECKSUM.size :])
            if self._header.num_buffers == 0:
                self._lengths = (self._header.length,)
        header = self._header
        if self._lengths is None:
            if (view := self._take(8 * header.num_buffers)) is None:
                return None
            sizes = struct.unpack(f"<{header.num_buffers}q", view)
            self._checksum = zlib.crc32(view, self._checksum)
            self._lengths = (header.length, *sizes)
            self._check_lengths(header, self._lengths)
        num_bytes = sum(padded(length) for length in self._lengths if length > 0)
        if (view := self._take(num_bytes)) is None:
            return None
        if zlib.crc32(view[: header.length], self._checksum) != header.checksum:
            raise RpcError("a frame has changed on its way")
        if header.released and self._shared is not None:
            self._shared.lender.release(header.released)
        frame = self._decode(header, self._lengths, view)
        self._header = self._lengths = None
        return frame

    def _take(self, num_bytes: int) -> memoryview | None:
        """The next bytes, if all have arrived; a part of the buffer if they fit."""
        if self._block is None:
            start, left = self._start, self._end - self._start
            if left >= num_bytes:
                self._start += num_bytes
                return self._buffer[start : self._start]
            if num_bytes <= _BUFFER_BYTES:
                return None
            self._block = _aligned(min(num_bytes, _MAX_AHEAD_BYTES))
            self._block[:left], self._filled = self._buffer[start : self._end], left
            self._start = self._end = 0
        block, size = self._block, len(self._block)
        if self._filled == size < num_bytes:
            self._block = _aligned(min(num_bytes, 2 * size))
            self._block[:size] = block
        if self._filled < num_bytes:
            return None
        self._block = None
        return block

    def _receive(self) -> None:
        if self._is_drained:
            self._is_drained = False  # The next `read` looks again.
            raise BlockingIOError
        if self._block is not None:
            self._filled += self._stream.receive_into(self._block[self._filled :])
        else:
            left = self._end - self._start
            if self._start:
                self._buffer[:left] = self._buffer[self._start : self._end]
                self._start, self._end = 0, left
            self._end += self._stream.receive_into(self._buffer[self._end :])
        self._is_drained = self._stream.is_drained

    def _check_lengths(self, header: _Header, lengths: tuple[int, ...]) -> None:
        in_slot = sum(padded(-length) for length in lengths if length < 0)
        room = 0
        if header.slot != _NO_SLOT:
            if self._shared is not None:
                room = self._shared.borrower.num_bytes(header.slot)
            if not room:
                raise RpcError("a frame is in memory that was not lent")
        if in_slot > room or sum(map(abs, lengths)) > MAX_BYTES:
            raise RpcError("a frame says that it has more bytes than it can have")

    def _decode(
        self, header: _Header, lengths: tuple[int, ...], view: memoryview
    ) -> Frame:
        if len(lengths) > 1 and view.obj is self._buffer.obj:
            view = memoryview(bytes(view))  # Arrays stay, and the buffer does not.
        view, start, slot, slot_start = view.toreadonly(), 0, view, 0
        if header.slot != _NO_SLOT:
            assert self._shared is not None
            slot = self._shared.borrower.borrow(header.slot)
        parts = []
        for length in lengths:
            if length >= 0:
                parts.append(view[start : start + length])
                start += padded(length)
            else:
                parts.append(slot[slot_start : slot_start - length])
                slot_start += padded(-length)
        value: Any = None
        error: BaseException | None = None
        try:
            value = pickle.loads(parts[0], buffers=parts[1:])
        except BaseException as raised:  # Code of a class may even exit.
            error = raised
        num_bytes = sum(map(abs, lengths))
        return Frame(header.kind, header.request, value, num_bytes, error)


def _checked(header: _Header) -> _Header:
    """The header, if it is one that can be.

    Raises:
      RpcError: it is not.
    """
    if header.magic != _MAGIC or header.version != _VERSION:
        raise RpcError(f"what arrives is no frame of version {_VERSION}")
    if (
        header.kind not in _KINDS
        or header.num_buffers > MAX_BUFFERS
        or not 0 <= header.length <= MAX_BYTES
        or not _NO_SLOT <= header.slot < NUM_SLOTS
        or (header.slot != _NO_SLOT and not header.num_buffers)
    ):
        raise RpcError("a frame's header says what cannot be")
    return header


def _aligned(num_bytes: int) -> memoryview:
    """New memory, aligned as JAX wants it; the system gives its pages when written.

    Raises:
      RpcError: there is not so much.
    """
    try:
        memory = np.empty(num_bytes + ALIGNMENT, np.uint8)
    except MemoryError:
        words = f"there is no memory for a message of {num_bytes:,} bytes"
        raise RpcError(words) from None
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + num_bytes].data


def _offer(frame: Frame) -> Offer:
    try:
        path, device, inode, num_bytes = frame.value
        if frame.request < NUM_SLOTS:
            return Offer(str(path), int(device), int(inode), int(num_bytes))
    except (TypeError, ValueError):
        pass
    raise RpcError("an offer of shared memory cannot be read")


def _padding(length: int) -> bytes:
    return bytes(padded(length) - length)
