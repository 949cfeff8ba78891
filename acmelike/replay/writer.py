"""The writer: what an adder makes, on its way to replay."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np

from acmelike.core import Future, future, num_outstanding, within
from acmelike.replay.message import Items, Message, Steps
from acmelike.replay.service import Replay
from acmelike.types import Array


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
        self._pending: deque[Message] = deque()
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
        Steps without items wait here for the next items. What was not admitted, because
        the call raised, goes first the next time.

        Args:
          items: for one or more tables, in order.
          steps: by column, `[m, ...]`; the steps of each column are numbered from 0.
          keep_from: by column, the first step that later items may refer to.
          num_env_steps: taken since the last call; counted with the next items.
          timeout: seconds for each part that is admitted; None to wait until the end of
            the run.

        Raises:
          RpcTimeout: nothing was admitted in time.
          ValueError: something is not what it should be, and none of it was written.
        """
        self._num_env_steps += num_env_steps
        for name, rows in (steps or {}).items():
            self._steps[name].append(rows)
        if items:
            self._pending.append(self._message(items, keep_from or {}))
        num_ahead = num_outstanding(self._num_ahead)
        while len(self._pending) > num_ahead:
            self._finish_first(timeout)
        if self._pending and self._under_way is None:
            self._under_way = self._send(self._first(), timeout)

    def flush(self, timeout: float | None = None) -> None:
        """Waits until all items that were written are admitted; see `write`."""
        while self._pending:
            self._finish_first(timeout)

    def close(self) -> None:
        """Lets replay give up the steps that only this writer could refer to.

        It waits for the message that is under way, if there is one.
        """
        if self._under_way is not None:
            self._finish_first(None)
        self._replay.close_writer(self._writer)

    def _message(self, items: Sequence[Items], keep_from: Mapping[str, int]) -> Message:
        steps = {}
        for name, parts in self._steps.items():
            steps[name] = Steps(self._next[name], np.concatenate(parts))
            self._next[name] += len(steps[name].rows)
        self._steps.clear()
        num_env_steps, self._num_env_steps = self._num_env_steps, 0
        return Message(self._writer, 0, steps, items, keep_from, num_env_steps)

    def _first(self) -> Message:
        return self._pending[0]._replace(number=self._num_sent + 1)

    def _finish_first(self, timeout: float | None) -> None:
        """Waits until all items of the first message are admitted."""
        message, under_way = self._first(), self._under_way
        num_items = sum(part.num_items for part in message.items)
        self._under_way = None
        try:
            if under_way is None:
                under_way = self._send(message, timeout)
            while under_way.result() < num_items:
                # Replay has it all; what is left is to be admitted.
                rest = message._replace(steps={}, items=())
                under_way = self._send(rest, timeout)
        except ValueError:
            self._pending.popleft()  # It would be refused again.
            raise
        self._pending.popleft()
        self._num_sent += 1

    def _send(self, message: Message, timeout: float | None) -> Future[int]:
        write = self._replay.write
        return future(write if timeout is None else within(timeout, write))(message)
