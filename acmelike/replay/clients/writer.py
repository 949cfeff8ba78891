"""The writer: what an adder makes, on its way to replay."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from acmelike.core import Future, future, now, prefetch_depth, within
from acmelike.errors import NotReady, RpcClosed, RpcTimeout
from acmelike.replay.message import Items, Message, Steps
from acmelike.replay.service.replay import Replay
from acmelike.types import Array

# What does not say that a message was refused: it goes first the next time.
_NOT_REFUSED = (NotReady, RpcClosed, RpcTimeout)


class Writer:
    """Sends steps and items to replay, all of them, in order and once.

    Args:
      replay: the replay service, or a client of it.
      num_ahead: how many messages the caller may be ahead of what replay has admitted,
        0 or 1. With 1 it works on while a message is under way, and what is wrong with
        that is raised by the next call. Under `serial` and outside a run nothing
        happens ahead of need.
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
        timeout: float | None = None,
    ) -> None:
        """Inserts items, and waits until every one of them is admitted.

        If it may be ahead, it waits for those of the call before instead.
        Steps without items wait here for the next items. What was not admitted in time
        goes first the next time. Of a message that is refused all items are dropped;
        its steps stay, if they are not what is wrong, as later items may refer to them.

        Args:
          items: for one or more tables, in order.
          steps: by column, `[m, ...]`; the steps of each column are numbered from 0.
          keep_from: by column, the first step that later items may refer to.
          num_env_steps: taken since the last call; counted with the next items.
          timeout: seconds to wait in all; None to wait until the end of the run.

        Raises:
          RpcTimeout: not everything was admitted in time.
          ValueError: something is not what it should be, and no item was written.
        """
        deadline = None if timeout is None else now() + timeout
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
            self._finish_first(deadline)
        if self._pending and self._under_way is None:
            # Nobody waits for it yet.
            self._under_way = self._send(self._first(), None)

    def skip(self, column: str, num_steps: int) -> None:
        """Leaves out the next steps of a column, which no item will refer to.

        They have numbers as all others.

        Raises:
          ValueError: steps before them wait here for items.
        """
        if self._steps.get(column):
            raise ValueError(f"column '{column}': steps before those to skip wait here")
        self._next[column] += num_steps

    def flush(self, timeout: float | None = None) -> None:
        """Waits until all items that were written are admitted; see `write`."""
        deadline = None if timeout is None else now() + timeout
        while self._pending:
            self._finish_first(deadline)

    def close(self) -> None:
        """Lets replay give up the steps that only this writer could refer to.

        It waits for the message that is under way, if there is one.
        """
        if self._under_way is not None:
            self._finish_first(None)
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

    def _finish_first(self, deadline: float | None) -> None:
        """Waits until all items of the first message are admitted."""
        message, num_items = self._first(), self._pending[0][1]
        under_way, self._under_way = self._under_way, None
        try:
            num_admitted = _by(deadline, under_way)
            if num_admitted is None:
                num_admitted = self._send(message, deadline).result()
            while num_admitted < num_items:
                # Replay has it all; what is left is to be admitted.
                rest = message._replace(steps={}, items=(), is_continuation=True)
                num_admitted = self._send(rest, deadline).result()
        except _NOT_REFUSED:
            raise
        except Exception:
            self._drop_first(deadline)
            raise
        self._pending.popleft()
        self._num_sent += 1

    def _drop_first(self, deadline: float | None) -> None:
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
                self._finish_first(deadline)

    def _send(self, message: Message, deadline: float | None) -> Future[int]:
        write = self._replay.write
        if deadline is not None:
            write = within(max(0.0, deadline - now()), write)
        return future(write)(message)


def _by(deadline: float | None, call: Future[int] | None) -> int | None:
    """The outcome of a call without a deadline, or None if it has to be made (again).

    If somebody waits with a deadline, it is withdrawn, to be made with that.
    """
    if call is None:
        return None
    if deadline is None or call.done():
        return call.result()
    call.cancel()
    try:
        return call.result()
    except RpcClosed:
        return None  # Withdrawn; or the run has ended, and will say so again.
