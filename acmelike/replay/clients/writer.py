"""The writer: sends the steps and items of an adder to replay."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from acmelike.core import Future, prefetch_depth, start
from acmelike.errors import NotReady, RpcClosed, RpcTimeout
from acmelike.replay.message import Items, Message, Steps
from acmelike.replay.service.replay import Replay
from acmelike.types import Array

# After these the message was not refused: it is sent first the next time.
_NOT_REFUSED = (NotReady, RpcClosed, RpcTimeout)


class Writer:
    """Sends steps and items to replay, all of them, in order and exactly once.

    A call waits as long as a rate limiter holds its items back, or until the deadline
    of the scope around it: `with deadline(2.0): writer.write(...)`.

    Args:
      replay: the replay service, or a client of it.
      num_ahead: how many messages the caller may be ahead of what replay has admitted,
        0 or 1. With 1 the caller continues while a message is under way, and an error
        in that message is raised by the next call. Under `serial` and outside a run
        nothing happens ahead of need.
    """

    def __init__(self, replay: Replay, *, num_ahead: int = 0):
        self._replay, self._num_ahead = replay, num_ahead
        self._under_way: Future[int] | None = None
        self._writer = secrets.randbits(62)
        self._num_sent = 0
        # Messages, and how many items each has.
        self._pending: deque[tuple[Message, int]] = deque()
        self._num_env_steps = 0
        self._steps: dict[str, list[Array]] = defaultdict(list)
        # The number of the next step of each column.
        self._next: dict[str, int] = defaultdict(int)

    def write(
        self,
        items: Sequence[Items] = (),
        *,
        steps: Mapping[str, Array] | None = None,
        keep_from: Mapping[str, int] | None = None,
        num_env_steps: int = 0,
    ) -> None:
        """Inserts items, and waits until every one of them is admitted.

        A writer that may be ahead waits for the items of the call before instead. Steps
        without items stay here until the next items. What is not admitted in time is
        sent first the next time. If a message is refused, all its items are dropped;
        its steps are kept, unless they are the fault, as later items may refer to them.

        Args:
          items: for one or more tables, in order.
          steps: by column, `[m, ...]`; the steps of each column are numbered from 0.
          keep_from: by column, the first step that later items may refer to.
          num_env_steps: taken since the last call; counted with the next items.

        Raises:
          RpcTimeout: not everything was admitted before the deadline.
          ValueError: an argument is wrong, and no item was written.
        """
        num_items = sum(part.num_items for part in items)
        for name, rows in (steps or {}).items():
            self._check(name, rows)
        self._num_env_steps += num_env_steps
        for name, rows in (steps or {}).items():
            self._steps[name].append(rows)
        if items:
            self._pending.append((self._message(items, keep_from or {}), num_items))
        num_ahead = prefetch_depth(self._num_ahead)
        while len(self._pending) > num_ahead:
            self._finish_first()
        if self._pending and self._under_way is None:
            self._under_way = start(self._replay.write, self._first())

    def skip(self, column: str, num_steps: int) -> None:
        """Leaves out the next steps of a column, to which no item will refer.

        They are numbered like all others.

        Raises:
          ValueError: earlier steps are still waiting here for items.
        """
        if self._steps.get(column):
            raise ValueError(f"column '{column}': steps before those to skip wait here")
        self._next[column] += num_steps

    def flush(self) -> None:
        """Waits until all items that were written are admitted; raises as `write`."""
        while self._pending:
            self._finish_first()

    def close(self) -> None:
        """Lets replay release the steps that only this writer could refer to.

        It waits for the message that is under way, if there is one.
        """
        if self._under_way is not None:
            self._finish_first()
        self._replay.close_writer(self._writer)

    def _check(self, name: str, rows: Array) -> None:
        """Refuses steps that cannot be in one message with those that wait here."""
        waiting = self._steps.get(name)
        before = waiting[0] if waiting else rows
        is_same = rows.dtype is before.dtype and rows.shape == before.shape
        if is_same and rows.ndim:
            return  # as nearly always
        is_alike = rows.dtype == before.dtype and rows.shape[1:] == before.shape[1:]
        if not is_alike or rows.ndim < 1:
            raise ValueError(
                f"column '{name}': expected rows to be {before.dtype} "
                f"{['m', *before.shape[1:]]}, got {rows.dtype} {list(rows.shape)}"
            )

    def _message(self, items: Sequence[Items], keep_from: Mapping[str, int]) -> Message:
        steps = {}
        for name, parts in self._steps.items():
            steps[name] = Steps(self._next[name], np.concatenate(parts))
            self._next[name] += len(steps[name].rows)
        self._steps.clear()
        num_env_steps, self._num_env_steps = self._num_env_steps, 0
        return Message(self._writer, 0, steps, items, keep_from, num_env_steps)

    def _first(self) -> Message:
        return self._pending[0][0]._replace(number=self._num_sent + 1)

    def _finish_first(self) -> None:
        """Waits until all items of the first message are admitted."""
        message, num_items = self._first(), self._pending[0][1]
        try:
            num_admitted = self._send(message)
            while num_admitted < num_items:
                # Replay has it all; what is left is to be admitted.
                rest = message._replace(steps={}, items=(), is_continuation=True)
                num_admitted = self._send(rest)
        except _NOT_REFUSED:
            raise
        except Exception:
            self._drop_first()
            raise
        self._pending.popleft()
        self._num_sent += 1

    def _drop_first(self) -> None:
        """Drops the items of the first message, which was refused, and sends its steps.

        So later items can refer to them. If they are refused as well, they are dropped.
        """
        message, _ = self._pending.popleft()
        # Replay may know the number, if it failed while it admitted the items.
        self._num_sent += 1
        if message.items and message.steps:
            steps = message._replace(items=(), num_env_steps=0)
            self._pending.appendleft((steps, 0))
            with suppress(Exception):
                self._finish_first()

    def _send(self, message: Message) -> int:
        """Sends a message, unless one is under way already; returns its outcome.

        If the caller's deadline passes, the message stays under way, and the next call
        waits for it again.
        """
        while True:
            call, is_new = self._under_way, self._under_way is None
            if call is None:
                call = self._under_way = start(self._replay.write, message)
            try:
                return call.result()
            except NotReady:
                self._under_way = None  # Outside a run it is tried again.
                raise
            except RpcTimeout:
                # A call that was sent ahead may have had an earlier deadline than this.
                if is_new or not call.done():
                    raise
            finally:
                if self._under_way is not None and call.done():
                    self._under_way = None
