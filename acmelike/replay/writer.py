"""The writer: what an adder makes, on its way to replay."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np

from acmelike.core import within
from acmelike.replay.message import Items, Message, Steps
from acmelike.replay.service import Replay
from acmelike.types import Array


class Writer:
    """Sends steps and items to replay, all of them, in order and once.

    Args:
      replay: the replay service, or a client of it.
    """

    def __init__(self, replay: Replay):
        self._replay = replay
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
        while self._pending:
            try:
                self._send(self._pending[0], timeout)
            except ValueError:
                self._pending.popleft()  # It would be refused again.
                raise
            self._pending.popleft()
            self._num_sent += 1

    def close(self) -> None:
        """Lets replay give up the steps that only this writer could refer to."""
        self._replay.close_writer(self._writer)

    def _message(self, items: Sequence[Items], keep_from: Mapping[str, int]) -> Message:
        steps = {}
        for name, parts in self._steps.items():
            steps[name] = Steps(self._next[name], np.concatenate(parts))
            self._next[name] += len(steps[name].rows)
        self._steps.clear()
        num_env_steps, self._num_env_steps = self._num_env_steps, 0
        return Message(self._writer, 0, steps, items, keep_from, num_env_steps)

    def _send(self, message: Message, timeout: float | None) -> None:
        write = self._replay.write
        if timeout is not None:
            write = within(timeout, write)
        message = message._replace(number=self._num_sent + 1)
        num_items = sum(part.num_items for part in message.items)
        while write(message) < num_items:
            # Replay has it all; what is left is to be admitted.
            message = message._replace(steps={}, items=())
