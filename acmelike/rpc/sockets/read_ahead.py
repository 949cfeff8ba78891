"""Messages of another host, where a call may come together with its cancel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from acmelike.errors import RpcError
from acmelike.rpc.sockets.frames import CALL, CANCEL, Frame, FrameReader

# The kind of a call whose cancel has arrived as well. No frame on a socket has it.
CANCELLED = -1
# So many messages are read ahead at most, and none after so many bytes.
_MAX_FRAMES = 64
_MAX_BYTES = 2**24
# What was read ahead is handled for so long before there is another look.
_LOOK_SECONDS = 0.01


class ReadAhead:
    """Reads what has arrived before a call is begun, to find calls that were cancelled.

    A call may wait in a socket while its server is busy, and its caller may give up
    meanwhile. On one host the deadline of the call says so. Between hosts it does not,
    because clocks differ. But a caller that gives up sends a cancel behind its call.

    Args:
      reader: of the connection.
    """

    def __init__(self, reader: FrameReader):
        self._reader = reader
        self._frames: deque[Frame] = deque()
        self._looked_at = 0.0
        self._is_drained = False
        # Makes what is raised after the last of these frames.
        self._end: Callable[[], Exception] | None = None

    @property
    def has_read_all(self) -> bool:
        """As `FrameReader.has_read_all`."""
        return self._is_drained and not self._frames

    def read(self) -> Frame:
        """The next message; a call that was cancelled has the kind `CANCELLED`.

        Raises:
          BlockingIOError: there is no whole frame yet; what has arrived is kept.
          EOFError: the connection has ended.
          RpcError: what arrives is no frame, or one of another version or codec.
        """
        if self._end is None:
            is_time = time.monotonic() >= self._looked_at + _LOOK_SECONDS
            if is_time or not self._frames:
                self._look()
        if self._frames:
            return self._frames.popleft()
        if self._end is not None:
            raise self._end()
        raise BlockingIOError

    def _look(self) -> None:
        """Reads what has arrived."""
        self._is_drained = False
        num_bytes = sum(frame.num_bytes for frame in self._frames)
        while len(self._frames) < _MAX_FRAMES and num_bytes < _MAX_BYTES:
            try:
                frame = self._reader.read()
            except BlockingIOError:
                self._is_drained = True
                break
            except RpcError as error:
                # The error itself has a traceback, which would keep the connection.
                self._end = partial(RpcError, str(error))
                break
            except (EOFError, OSError):
                self._end = EOFError
                break
            if frame.kind != CANCEL or not self._mark(frame.request):
                self._frames.append(frame)
                num_bytes += frame.num_bytes
            if self._reader.has_read_all:
                self._is_drained = True
                break
        self._looked_at = time.monotonic()

    def _mark(self, number: int) -> bool:
        """Marks a call as cancelled; False if no call with this number is here."""
        for index, frame in enumerate(self._frames):
            if frame.kind == CALL and frame.request == number:
                self._frames[index] = frame._replace(kind=CANCELLED)
                return True
        return False
