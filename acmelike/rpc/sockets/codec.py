"""What a connection writes its values as: pickles within a run, data to the outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from acmelike.rpc.sockets.ledger import LentRef
from acmelike.rpc.sockets.shared_memory import Block, Bytes, padded


class Payload:
    """A value as bytes, which can go into any number of frames.

    On one host its arrays are written into shared memory once, for all of these.

    Args:
      body: the value, without the bytes of its arrays.
      views: those, one buffer for each array.
      magic: of the codec that wrote it; a frame says it.
      refs: of stored values, that are in it.

    Attributes:
      body, views, magic, refs: the same.
      num_bytes: size of body and views.
      block, lease, is_written: see `Shareable`.
      on_written: called once the arrays are in shared memory.
      offers: another payload, whose memory is offered to who gets this one.
      packed: body and views, compressed for all who get it at the same time; empty if
        that is not worth it, and None before anybody has tried.
    """

    # Most payloads have no arrays, and never need these.
    block: Block | None = None
    lease: Bytes | None = None
    is_written: threading.Event | None = None
    on_written: Callable[[Payload], None] | None = None
    offers: Payload | None = None
    packed: list[bytes] | None = None

    def __init__(
        self,
        body: bytes,
        views: list[memoryview],
        magic: bytes,
        refs: Sequence[LentRef] = (),
    ):
        self.body, self.views, self.magic, self.refs = body, views, magic, refs
        self.num_bytes = len(body)
        if views:
            self.num_bytes += sum([view.nbytes for view in views])

    def note_written(self) -> None:
        """The arrays are in the block: what had them before is needed no longer."""
        assert self.lease is not None and self.is_written is not None
        views, start = [], 0
        for view in self.views:
            views.append(self.lease[start : start + view.nbytes].data)
            start += padded(view.nbytes)
        self.views = views
        self.is_written.set()
        on_written, self.on_written = self.on_written, None
        if on_written is not None:
            on_written(self)


class CallParts(NamedTuple):
    """The value of a frame that is a call.

    Attributes:
      label: of the node that is called.
      method: its name.
      args: of the call.
      kwargs: of the call.
      until: its deadline; None without one. Processes of one host send a time of the
        host's clock, all others the seconds that are left.
      caller: the label of the node that calls.
    """

    label: str
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    until: float | None
    caller: str


class Codec(Protocol):
    """One way to write values.

    Attributes:
      magic: two bytes, by which frames with such values are known.
      kinds: of the frames that are read on such a connection.
      max_body_bytes: what a body may have at most.
      is_trusted: whether a caller is part of the run, and its mistakes are the run's.
    """

    @property
    def magic(self) -> bytes: ...
    @property
    def kinds(self) -> frozenset[int]: ...
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def is_trusted(self) -> bool: ...

    def make_payload(self, value: Any) -> Payload:
        """Writes a value.

        Raises:
          Exception: it cannot be written; the message says what to do.
        """

    def read(self, body: memoryview, buffers: list[memoryview]) -> Any:
        """The value again.

        Raises:
          Exception: the bytes are no value.
        """

    def read_call(self, value: Any) -> CallParts:
        """A value as a call.

        Raises:
          TypeError: it is none.
          ValueError: it is none.
        """

    def error_value(self, error: BaseException) -> Any:
        """What is sent of an exception."""
