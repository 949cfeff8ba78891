"""Many streams of bytes between two processes, over one connection."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Any, NamedTuple

from acmelike.errors import RpcError
from acmelike.launchers.processes.control import ControlConnection
from acmelike.rpc.sockets.frames import CONTROL, encode
from acmelike.rpc.sockets.stream import Stream

_CHUNK_BYTES = 2**18
# While so many bytes wait to be sent, nothing is read that would have to be sent too.
_MAX_UNSENT_BYTES = 2**22
_BEAT_SECONDS = 1.0
_MAX_FRAMES = 64  # Read from the line before ends and beats have a turn.


class Chunk(NamedTuple):
    """Bytes of the stream with this number; empty at the end of the stream."""

    stream: int
    data: bytes


class Beat(NamedTuple):
    """Says once a second that this end is there."""


class Multiplexer:
    """One end of the connection; joins local files and sockets to those at the other.

    What is read from a local file or socket is sent, and the other end writes it to its
    own with the same number. Messages go over the same line, in order with these bytes.

    Args:
      line: the connection, which is owned from now on. No other thread reads it.
      on_message: called with each message of the other end, by the thread of `run`.
      on_beat: called once a second by that thread, with the seconds since the other end
        was heard.
    """

    def __init__(
        self,
        line: ControlConnection,
        on_message: Callable[[Any], None],
        on_beat: Callable[[float], None],
    ):
        self._line, self._reader = line.stream, line.reader
        self._on_message, self._on_beat = on_message, on_beat
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._ends: dict[int, _LocalEnd] = {}
        self._later: deque[Callable[[], None]] = deque()
        self._heard_at, self._has_more = time.monotonic(), False
        self._is_ended = self._is_aborted = False
        self._closing = threading.Lock()
        self._is_closed = False

    def send(self, message: Any) -> None:
        """Sends a message; any thread may call it. If the line is lost, `run` ends."""
        with suppress(OSError):
            self._line.send(encode(CONTROL, 0, message).pieces)
        if self._line.num_unsent:
            self._wake()

    def add(self, number: int, file: socket.socket | IO[bytes]) -> None:
        """Joins a local socket, or a file that is only read, to a stream.

        The multiplexer owns it from now on.
        """
        end = _LocalEnd(number, file)
        with self._closing:
            if self._is_closed:
                end.close()
                return
            self._later.append(partial(self._add, end))
        self._wake()

    def end(self) -> None:
        """Lets `run` return as soon as all messages have left."""
        self._is_ended = True
        self._wake()

    def abort(self) -> None:
        """Lets `run` return at once."""
        self._is_aborted = True
        self._wake()

    def run(self) -> str:
        """Passes everything on until `end`, or until the line is lost.

        Returns:
          Why the line was lost; "" if it was not.
        """
        self._selector.register(self._line, selectors.EVENT_READ, self._on_line)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._on_wake)
        next_beat, why = time.monotonic(), ""
        try:
            while not self._is_over():
                if (now := time.monotonic()) >= next_beat:
                    next_beat = now + _BEAT_SECONDS
                    self.send(Beat())
                    self._on_beat(now - self._heard_at)
                while self._later:
                    self._later.popleft()()
                self._watch()
                if self._has_more:
                    self._on_line(0)
                left = 0.0 if self._has_more else next_beat - time.monotonic()
                for key, events in self._selector.select(max(0.0, left)):
                    key.data(events)
        except EOFError:
            why = "it has closed the connection"
        except (OSError, RpcError) as error:
            why = str(error)
        finally:
            self._close()
        return why

    # --- In the thread of `run`

    def _is_over(self) -> bool:
        return self._is_aborted or (self._is_ended and not self._line.num_unsent)

    def _add(self, end: _LocalEnd) -> None:
        self._ends[end.number] = end

    def _watch(self) -> None:
        """Registers each end for reading and writing, as far as it can do so now."""
        self._set(self._line, _events(True, self._line.num_unsent), self._on_line)
        is_free = self._line.num_unsent < _MAX_UNSENT_BYTES
        for end in self._ends.values():
            events = _events(end.is_read and is_free, end.num_unsent)
            self._set(end.fd, events, partial(self._on_end, end))

    def _set(self, fd: Any, events: int, then: Callable[[int], None]) -> None:
        key = self._selector.get_map().get(fd)
        if key is None and events:
            self._selector.register(fd, events, then)
        elif key is not None and not events:
            self._selector.unregister(fd)
        elif key is not None and key.events != events:
            self._selector.modify(fd, events, then)

    def _on_wake(self, events: int) -> None:
        with suppress(BlockingIOError):
            self._wake_out.recv(4096)

    def _on_line(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._line.flush()
        # At most so many, or beats would come too late. The selector does not see the
        # frames that were received by then and are not handled yet.
        self._has_more = False
        for _ in range(_MAX_FRAMES):
            try:
                frame = self._reader.read()
            except BlockingIOError:
                return
            if frame.error is not None:
                raise OSError(f"it sent what cannot be read: {frame.error}")
            self._heard_at = time.monotonic()
            if isinstance(frame.value, Chunk):
                self._take(frame.value)
            elif not isinstance(frame.value, Beat):
                self._on_message(frame.value)
        self._has_more = True

    def _take(self, chunk: Chunk) -> None:
        while self._later:  # Its end may be about to be added.
            self._later.popleft()()
        end = self._ends.get(chunk.stream)
        if end is not None:
            end.write(chunk.data)
            self._remove_if_over(end)

    def _on_end(self, end: _LocalEnd, events: int) -> None:
        if self._ends.get(end.number) is not end:
            return  # It was closed since the selector found something.
        if events & selectors.EVENT_WRITE:
            end.flush()
        if events & selectors.EVENT_READ:
            data = end.read()
            if data is not None:
                self.send(Chunk(end.number, data))
        self._remove_if_over(end)

    def _remove_if_over(self, end: _LocalEnd) -> None:
        if end.is_over and self._ends.pop(end.number, None) is not None:
            if end.fd in self._selector.get_map():
                self._selector.unregister(end.fd)
            end.close()

    def _wake(self) -> None:
        with self._closing:
            if not self._is_closed:
                with suppress(BlockingIOError):
                    self._wake_in.send(b"x")

    def _close(self) -> None:
        with self._closing:
            self._is_closed = True
            self._wake_in.close()
        self._wake_out.close()
        self._selector.close()
        while self._later:
            self._later.popleft()()
        for end in self._ends.values():
            end.close()
        self._line.close()


class _LocalEnd:
    """The local end of a stream.

    Attributes:
      is_read: whether there may be more to read from it.
    """

    def __init__(self, number: int, file: socket.socket | IO[bytes]):
        self.number, self.fd, self._file = number, file.fileno(), file
        self._stream = Stream(file) if isinstance(file, socket.socket) else None
        os.set_blocking(self.fd, False)
        self.is_read, self._is_written = True, self._stream is not None
        self._is_ending = False

    @property
    def num_unsent(self) -> int:
        return 0 if self._stream is None else self._stream.num_unsent

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended."""
        return not self.is_read and not self._is_written

    def read(self) -> bytes | None:
        """What can be read; b"" at its end, None for nothing."""
        try:
            data = os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self.is_read = bool(data)
        if not data:
            self._is_written = False  # The other end then closes both ways too.
        return data

    def write(self, data: bytes) -> None:
        """Writes as much as possible, and keeps the rest; b"" ends it."""
        if self._stream is None or not self._is_written:
            return
        self._is_ending = self._is_ending or not data
        self._try(partial(self._stream.send, [data]))

    def flush(self) -> None:
        """Writes what was kept, as far as possible."""
        if self._stream is not None and self._is_written:
            self._try(self._stream.flush)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        else:
            self._file.close()

    def _try(self, write: Callable[[], bool]) -> None:
        assert self._stream is not None
        try:
            is_written = write()
        except OSError:
            is_written, self._is_ending = True, True  # Nobody reads it any more.
        if is_written and self._is_ending:
            self._is_written = self.is_read = False
            self._stream.end()


def _events(reads: bool, num_unsent: int) -> int:
    return reads * selectors.EVENT_READ | bool(num_unsent) * selectors.EVENT_WRITE
