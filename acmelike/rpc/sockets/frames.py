"""Frames: the layout of messages on a stream between two processes.

    | checksum 4 | magic 2 | version 1 | kind 1 | number of buffers 4 | slot 4 |
    | request 8 | length 8 | released 4 | length of each buffer, 8 | body | buffers |

Little endian; the body and each buffer are padded to a multiple of 64 bytes. The
checksum is the CRC-32 of what follows it, without the buffers: a pickle with an error
in it may take any time and memory. The body is a value, without its arrays: their bytes
are sent from where they are and arrive where they will be used, as read-only views of
one block of memory for each frame.

The two bytes of magic say how the body is written: as a pickle within a run, as data
for others (`codec`). A connection has one codec, and a frame of another one ends it
before its body is read. Pickles are trusted: before the first frame each end has shown
the other that it belongs to the run (`greeting`, `identity`).

On one host, large buffers are in memory that both ends share, in the frame's slot, and
their lengths are negative. `shared_memory` says what slots are, and what is released.

Between hosts, what follows the lengths may be packed (`compression`). The kind then has
the bit `PACKED`, and the frame is

    | as above, up to the lengths | size when packed 8 | body and buffers, packed |

All lengths are those of the message when it is whole again, so they are checked before
it is unpacked. The checksum is that of all that is sent.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from acmelike.errors import RpcError
from acmelike.rpc.failure import without_frames
from acmelike.rpc.sockets import compression
from acmelike.rpc.sockets.codec import Codec, Payload
from acmelike.rpc.sockets.ledger import Key, Ledger, current
from acmelike.rpc.sockets.memory import MAX_AHEAD_BYTES, new_memory, seal
from acmelike.rpc.sockets.pickle_codec import PICKLE, make_payload
from acmelike.rpc.sockets.shared_memory import (
    ALIGNMENT,
    LARGE_BYTES,
    NUM_SLOTS,
    TAKEN_BACK,
    Lender,
    Offer,
    SharedMemory,
    padded,
)
from acmelike.rpc.sockets.stream import Stream

_CHECKSUM = struct.Struct("<I")
_FIELDS = struct.Struct("<2sBBIiQqI")
_HEADER = struct.Struct("<I2sBBIiQqI")  # Both.
_HEADER_BYTES = _HEADER.size
_PACKED_SIZE = struct.Struct("<Q")
_VERSION = 4
_NO_SLOT = -1

CALL, CANCEL, RESULT, ERROR, CONTROL, OFFER, RETURN = range(7)
# Added to the kind of a frame whose body and buffers are packed.
PACKED = 128

# What follows so many bytes, modulo the alignment.
_PADDINGS = [bytes(-length % ALIGNMENT) for length in range(ALIGNMENT)]

# What one frame may have at most.
MAX_BUFFERS = 2**20
MAX_BYTES = 2**36
# Makes a named tuple without the call of a function of Python.
_new = tuple.__new__
# Frames that are smaller are read with one call of the system. Of what is larger, the
# greater part is received where it will stay.
_BUFFER_BYTES = 2**14


class _Header(NamedTuple):
    """The first bytes of a frame, after its checksum."""

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
      num_bytes: size of its body and its buffers, as they were sent.
      error: tells what was raised when the value was made of its bytes, or None.
    """

    kind: int
    request: int
    value: Any
    num_bytes: int
    error: RpcError | None = None


class Encoded(NamedTuple):
    """A message that is ready to be sent.

    Attributes:
      pieces: the bytes to send, in order.
      num_bytes: size of its body and its buffers, as they are sent; those in shared
        memory are included.
    """

    pieces: list[bytes | memoryview]
    num_bytes: int


class PayloadCache:
    """Encodes each value once, if it is sent to several callers at the same time.

    Use it for one moment only: a value that changes later would be sent as it was.
    """

    def __init__(self) -> None:
        # With the values, because an id is unique only while its object lives.
        self._by_id: dict[tuple[bytes, int], tuple[Any, Payload]] = {}

    def of(self, value: Any, codec: Codec) -> Payload:
        """The payload of a value, as a codec writes it."""
        key = codec.magic, id(value)
        if key not in self._by_id:
            self._by_id[key] = value, codec.make_payload(value)
        return self._by_id[key][1]


def encode(
    kind: int, request: int, value: Any, shared: SharedMemory | None = None
) -> Encoded:
    """Pickles a value and makes a frame of it; arguments as for `make_frame`."""
    return make_frame(kind, request, make_payload(value), shared)


def make_frame(
    kind: int,
    request: int,
    value: Payload,
    shared: SharedMemory | None = None,
    *,
    pack: bool = False,
) -> Encoded:
    """Makes a frame.

    Args:
      kind: one of the constants of this module.
      request: the number of the request that it belongs to.
      value: its content.
      shared: the shared memory of the connection, or None. With it, the frame has to
        be sent, because it may have taken a slot.
      pack: whether to compress it, if that makes it smaller; never with shared memory.

    Raises:
      RpcError: the value has too many arrays or bytes for one message.
    """
    body, views, magic = value.body, value.views, value.magic
    num_bytes = value.num_bytes
    # First of all: slots that are taken back are sent with a frame only.
    if views and (len(views) > MAX_BUFFERS or num_bytes > MAX_BYTES):
        raise RpcError(
            f"a message of {len(views):,} arrays and {num_bytes:,} bytes is too large: "
            f"it may have {MAX_BUFFERS:,} and {MAX_BYTES:,}"
        )
    pieces: list[bytes | memoryview] = []
    if shared is not None and (shared.lender.withdrawn or value.offers is not None):
        pieces = _offers(shared.lender, value.offers)
    if pack and shared is None and (frame := _packed_frame(kind, request, value)):
        return frame
    if not views:
        released, length = 0, len(body)
        if shared is not None and shared.borrower.released:
            released = shared.borrower.take_released()
        header = _FIELDS.pack(
            magic, _VERSION, kind, 0, _NO_SLOT, request, length, released
        )
        pieces.append(_with_checksum(header + body, length))
        return _new(Encoded, (pieces, length))
    slot, released = None, 0
    if shared is not None:
        if num_bytes - len(body) >= LARGE_BYTES:
            slot = shared.lender.put(value)
            if slot is None and (offer := shared.lender.offer(value)):
                # Before the frame, so that the answer to it can say that it is mapped.
                pieces += encode(OFFER, *offer).pieces
        released = shared.borrower.take_released()
    if slot is not None:
        lengths = [-view.nbytes for view in views]
        first = _first_piece(magic, kind, request, body, released, lengths, slot)
        pieces.append(first)
        return Encoded(pieces, num_bytes)
    lengths = [view.nbytes for view in views]
    pieces.append(_first_piece(magic, kind, request, body, released, lengths))
    return Encoded([*pieces, *_with_paddings(views)], num_bytes)


def _with_paddings(
    parts: Iterable[bytes | memoryview],
) -> Iterator[bytes | memoryview]:
    for part in parts:
        yield part
        if padding := _PADDINGS[len(part) % ALIGNMENT]:
            yield padding


def _packed_frame(kind: int, request: int, value: Payload) -> Encoded | None:
    """A frame that is compressed; None if its value is better sent as it is."""
    body, lengths = value.body, [view.nbytes for view in value.views]
    if len(lengths) > MAX_BUFFERS:
        return None
    packed = value.packed
    if packed is None:
        parts = _with_paddings([body, *value.views])
        packed = compression.pack(parts, _sum_padded([len(body), *lengths])) or []
        if (
            value.block is None
        ):  # A stored value would take memory twice while it lives.
            value.packed = packed
    if not packed:
        return None
    num_bytes = sum(map(len, packed))
    checked = _FIELDS.pack(
        *(value.magic, _VERSION, kind | PACKED, len(lengths)),
        *(_NO_SLOT, request, len(body), 0),
    )
    checked += struct.pack(f"<{len(lengths)}q", *lengths) + _PACKED_SIZE.pack(num_bytes)
    checksum = zlib.crc32(checked)
    for piece in packed:
        checksum = zlib.crc32(piece, checksum)
    padding = _PADDINGS[num_bytes % ALIGNMENT]
    first = _CHECKSUM.pack(checksum) + checked
    return Encoded([first, *packed, padding], num_bytes)


def _offers(lender: Lender, value: Payload | None) -> list[bytes | memoryview]:
    """Takes back slots that are needed no longer, and offers the memory of a value."""
    pieces: list[bytes | memoryview] = []
    while lender.withdrawn:
        try:
            slot = lender.withdrawn.popleft()
        except IndexError:
            break  # Another thread has taken the last one.
        pieces += encode(OFFER, slot, TAKEN_BACK).pieces
    if value is not None and value.block and (offer := lender.offer(value)):
        pieces += encode(OFFER, *offer).pieces
    return pieces


def _first_piece(
    magic: bytes,
    kind: int,
    request: int,
    body: bytes,
    released: int,
    lengths: Sequence[int] = (),
    slot: int | None = None,
) -> bytes:
    """A frame without its buffers."""
    num_buffers, place = len(lengths), _NO_SLOT if slot is None else slot
    checked = _FIELDS.pack(
        *(magic, _VERSION, kind, num_buffers, place, request, len(body), released)
    )
    if lengths:
        checked += struct.pack(f"<{num_buffers}q", *lengths)
    return _with_checksum(checked + body, len(body))


def _with_checksum(checked: bytes, length: int) -> bytes:
    """The beginning of a frame, which ends with a body of this length."""
    return _CHECKSUM.pack(zlib.crc32(checked)) + checked + _PADDINGS[length % ALIGNMENT]


class FrameReader:
    """Reads frames from a stream.

    Nothing that a frame says of its size is believed before the bytes have arrived: a
    large part takes memory page by page, as it is filled.

    Args:
      stream: `read` never blocks.
      shared: the shared memory of the connection, or None.
      codec: of the connection.
      ledger: for the refs in messages; None where none may come.
    """

    def __init__(
        self,
        stream: Stream,
        shared: SharedMemory | None = None,
        codec: Codec = PICKLE,
        ledger: Ledger | None = None,
    ):
        self._stream, self._shared, self._codec = stream, shared, codec
        self._ledger = ledger
        self._magic, self._kinds = codec.magic, codec.kinds
        # What has arrived and is not read yet.
        self._memory = bytearray(_BUFFER_BYTES)
        self._buffer = memoryview(self._memory)
        self._start = self._end = 0
        # A part that is larger than the buffer, and how much of it has arrived.
        self._block: memoryview | None = None
        self._filled = 0
        self._header: _Header | None = None
        self._lengths: tuple[int, ...] | None = None
        self._num_padded = 0
        # Whether it is packed, and how many bytes it then has; None until it says so.
        self._is_packed = False
        self._num_packed: int | None = None
        # What the frame says that its checksum is, and that of what has arrived of it.
        self._checksum = self._found = 0
        self._is_drained = False

    @property
    def has_read_all(self) -> bool:
        """Whether `read` would find nothing, as far as is known without a look."""
        return self._is_drained and self._start == self._end and self._header is None

    @property
    def is_between_frames(self) -> bool:
        """Whether no part of a frame has arrived whose end has not."""
        return self._header is None and self._start == self._end

    def close(self) -> None:
        """Drops what has arrived of a message that will never be whole."""
        self._block = None

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
          RpcError: what arrives is no frame, or one of another version or codec.
        """
        while True:
            frame: Frame | None = None
            if self._header is not None:
                frame = self._parse()
            elif self._start != self._end:  # Mostly the one before was all there was.
                frame = self._parse_small() or self._parse()
            if frame is None:
                self._receive()
            elif frame.kind != OFFER:
                return frame
            elif self._shared is not None:
                self._shared.borrower.accept(frame.request, _offer(frame))

    def _parse(self) -> Frame | None:
        """The next frame of what has arrived; None if its end has not."""
        if self._header is None:
            if (view := self._take(_HEADER_BYTES)) is None:
                return None
            (self._checksum,) = _CHECKSUM.unpack_from(view)
            self._found = zlib.crc32(view[_CHECKSUM.size :])
            header = _Header(*_FIELDS.unpack_from(view, _CHECKSUM.size))
            if header.kind & PACKED and self._codec.is_trusted and self._shared is None:
                header = header._replace(kind=header.kind - PACKED)
                self._is_packed, self._num_packed = True, None
            self._header = _checked(header, self._codec)
            self._lengths = None
        header = self._header
        if not header.num_buffers:
            lengths: tuple[int, ...] = ()
            num_padded = padded(header.length)
        else:
            if self._lengths is None:
                if (view := self._take(8 * header.num_buffers)) is None:
                    return None
                sizes = struct.unpack(f"<{header.num_buffers}q", view)
                self._found = zlib.crc32(view, self._found)
                self._lengths = (header.length, *sizes)
                self._check_lengths(header, self._lengths)
                present = [length for length in self._lengths if length > 0]
                # Once, as a sender may let the rest come byte by byte.
                self._num_padded = _sum_padded(present)
            lengths, num_padded = self._lengths, self._num_padded
        if self._is_packed:
            num_bytes = self._packed_size(header, num_padded)
            if num_bytes is None or (view := self._take(padded(num_bytes))) is None:
                return None
            self._check(view[:num_bytes])
            view = compression.unpack(view[:num_bytes], num_padded)
            self._is_packed = False
        else:
            if (view := self._take(num_padded)) is None:
                return None
            self._check(view[: header.length])
            num_bytes = header.length + sum(map(abs, lengths[1:]))
        if header.released and self._shared is not None:
            self._shared.lender.release(header.released)
        self._header = None
        if not lengths:
            body, buffers = view[: header.length], []
        else:
            body, *buffers = self._parts(header, lengths, view)
        return self._frame(header.kind, header.request, body, buffers, num_bytes)

    def _parse_small(self) -> Frame | None:
        """The next frame, if it has no buffers and has arrived whole, as most do.

        If anything is unusual, it is left to `_parse`, which does the same in steps.
        """
        start = self._start
        body = start + _HEADER_BYTES
        if self._end < body:
            return None
        checksum, magic, version, kind, num_buffers, slot, number, length, released = (
            _HEADER.unpack_from(self._memory, start)
        )
        end = body + length
        padded_end = end + -length % ALIGNMENT
        if (
            num_buffers
            or released
            or length < 0
            or padded_end > self._end
            or magic != self._magic
            or version != _VERSION
            or kind not in self._kinds
            or slot != _NO_SLOT
            or zlib.crc32(self._buffer[start + 4 : end]) != checksum
        ):
            return None
        self._start = padded_end
        return self._frame(kind, number, self._buffer[body:end], [], length)

    def _packed_size(self, header: _Header, num_padded: int) -> int | None:
        """How many bytes a packed frame has; None if that has not arrived.

        Raises:
          RpcError: it is larger than `num_padded`, its size when it is whole again, or
            that is too large.
        """
        if self._num_packed is None:
            if (view := self._take(_PACKED_SIZE.size)) is None:
                return None
            (num_bytes,) = _PACKED_SIZE.unpack(view)
            self._found = zlib.crc32(view, self._found)
            is_possible = 0 < num_bytes < num_padded <= compression.MAX_BYTES
            if header.slot != _NO_SLOT or not is_possible:
                raise RpcError("a frame says that it is packed, and cannot be")
            self._num_packed = int(num_bytes)
        return self._num_packed

    def _check(self, view: memoryview) -> None:
        """Raises RpcError if the checksum of a frame that ends so is another one."""
        if zlib.crc32(view, self._found) != self._checksum:
            raise RpcError("a frame has changed on its way")

    def _frame(
        self,
        kind: int,
        number: int,
        body: memoryview,
        buffers: list[memoryview],
        num_bytes: int,
    ) -> Frame:
        if self._ledger is not None:
            current.ledger = self._ledger
        try:
            value = self._codec.read(body, buffers)
        except BaseException as error:  # Code of a class may even exit.
            return Frame(kind, number, None, num_bytes, without_frames(error))
        return _new(Frame, (kind, number, value, num_bytes, None))

    def _take(self, num_bytes: int) -> memoryview | None:
        """The next bytes, if all have arrived; a part of the buffer if they fit."""
        if self._block is None:
            start, left = self._start, self._end - self._start
            if left >= num_bytes:
                self._start += num_bytes
                return self._buffer[start : self._start]
            if num_bytes <= _BUFFER_BYTES:
                return None
            is_trusted = self._codec.is_trusted
            ahead = num_bytes if is_trusted else min(num_bytes, MAX_AHEAD_BYTES)
            self._block = new_memory(ahead)
            self._block[:left], self._filled = self._buffer[start : self._end], left
            self._start = self._end = 0
        block, size = self._block, len(self._block)
        if self._filled == size < num_bytes:
            self._block = new_memory(min(num_bytes, 2 * size), block)
        if self._filled < num_bytes:
            return None
        self._block = None
        return block

    def _receive(self) -> None:
        if self._block is not None:
            self._filled += self._stream.receive_into(self._block[self._filled :])
        elif self._start == self._end:
            num_received = self._stream.receive_into(self._buffer)
            self._start, self._end = 0, num_received
        else:
            if self._start:
                left = self._end - self._start
                self._buffer[:left] = self._buffer[self._start : self._end]
                self._start, self._end = 0, left
            self._end += self._stream.receive_into(self._buffer[self._end :])
        self._is_drained = self._stream.is_drained

    def _check_lengths(self, header: _Header, lengths: tuple[int, ...]) -> None:
        """Raises RpcError if the buffers cannot be so long."""
        room = 0
        if header.slot != _NO_SLOT:
            if self._shared is not None:
                room = self._shared.borrower.num_bytes(header.slot)
            if not room:
                raise RpcError("a frame is in memory that was not lent")
        is_more = min(lengths) < 0 and room < _sum_padded(
            [-length for length in lengths if length < 0]
        )
        if is_more or sum(map(abs, lengths)) > MAX_BYTES:
            raise RpcError("a frame says that it has more bytes than it can have")

    def _parts(
        self, header: _Header, lengths: tuple[int, ...], view: memoryview
    ) -> list[memoryview]:
        """The body and the buffers."""
        if view.obj is self._buffer.obj:
            view = memoryview(bytes(view))  # Arrays stay, and the buffer does not.
        seal(view)
        view, start, slot, slot_start = view.toreadonly(), 0, view, 0
        if header.slot != _NO_SLOT:
            assert self._shared is not None
            slot = self._shared.borrower.borrow(header.slot)
        parts = []
        for length in lengths:
            if length >= 0:
                parts.append(view[start : start + length])
                start += length + -length % ALIGNMENT
            else:
                parts.append(slot[slot_start : slot_start - length])
                slot_start += -length + length % ALIGNMENT
        return parts


def _sum_padded(lengths: Sequence[int]) -> int:
    """The sum of the padded lengths; written out, as it is taken for each frame."""
    return sum([length + -length % ALIGNMENT for length in lengths])


def _checked(header: _Header, codec: Codec) -> _Header:
    """The header, if it is one that can be on a connection with this codec.

    Raises:
      RpcError: it is not.
    """
    if header.magic != codec.magic or header.version != _VERSION:
        raise RpcError(
            f"what arrives is no frame of version {_VERSION} that begins with "
            f"'{codec.magic.decode()}'"
        )
    if header.kind not in codec.kinds:
        raise RpcError(f"a frame of kind {header.kind} cannot come here")
    if (
        header.num_buffers > MAX_BUFFERS
        or not 0 <= header.length <= codec.max_body_bytes
        or not _NO_SLOT <= header.slot < NUM_SLOTS
        or (header.slot != _NO_SLOT and not header.num_buffers)
    ):
        raise RpcError("a frame's header says what cannot be")
    return header


def returned(frame: Frame) -> tuple[Key, int] | None:
    """What a frame of kind RETURN says; None if it is about no ref.

    Raises:
      RpcError: it cannot be read.
    """
    try:
        if frame.value is None and frame.error is None:
            return None
        (owner, number), count = frame.value
        return Key(str(owner), int(number)), int(count)
    except (TypeError, ValueError):
        raise RpcError("what was sent says of no ref that it was dropped") from None


def _offer(frame: Frame) -> Offer:
    try:
        path, device, inode, num_bytes, is_stored = frame.value
        if frame.request < NUM_SLOTS:
            numbers = int(device), int(inode), int(num_bytes)
            return Offer(str(path), *numbers, bool(is_stored))
    except (TypeError, ValueError):
        pass
    raise RpcError("an offer of shared memory cannot be read")
