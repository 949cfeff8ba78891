"""The writer: sends the steps and items of an adder to replay."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import optree

from acmelike.core import Future, prefetch_depth, start
from acmelike.errors import NotReady, RpcClosed, RpcTimeout
from acmelike.replay.message import EpisodeEnd, Items, Message, Share, Steps
from acmelike.replay.service.replay import Replay
from acmelike.types import Array

# After this many environment steps without items, they are counted without waiting for
# items.
_MAX_UNCOUNTED = 1_000
# Errors after which a message was not refused: it is sent first the next time.
_NOT_REFUSED = (NotReady, RpcClosed, RpcTimeout)


class _Pending(NamedTuple):
    """A message, its number of items, and the number of calls that it is made of."""

    message: Message
    num_items: int
    num_calls: int


class Writer:
    """Sends steps and items to replay, all of them, in order and exactly once.

    A call waits as long as a rate limiter holds its items back, or until the deadline
    of the scope around it: `with deadline(2.0): writer.write(...)`.

    Args:
      replay: the replay service, or a client of it.
      num_ahead: by how many calls with items the caller may be ahead of what replay has
        admitted. With 1 the caller continues while a message is under way, and an error
        in that message is raised by the next call. With more, later items are gathered
        meanwhile, and become one message when the first message is done. Under `serial`
        and outside a run it counts as 0.
      name: of a writer that is replaced after a failure by another one of the same
        name; None for other writers. See `take_over`.
    """

    def __init__(self, replay: Replay, *, num_ahead: int = 0, name: str | None = None):
        self._replay, self._num_ahead, self._name = replay, num_ahead, name
        self._under_way: Future[int] | None = None
        self._writer = secrets.randbits(62)
        self._num_sent = 0
        # Messages that are under way or to be sent, in order.
        self._pending: deque[_Pending] = deque()
        # Gathered for the message after these.
        self._items: list[Items] = []
        self._num_items = self._num_calls = 0
        self._keep_from: dict[str, int] = {}
        self._version = -1
        self._num_env_steps = 0
        self._episodes: list[EpisodeEnd] = []
        self._steps: dict[str, list[Array]] = defaultdict(list)
        # The number of the next step of each column.
        self._next: dict[str, int] = defaultdict(int)

    def take_over(self) -> int:
        """Takes the place of the writer that had this name; call it before `write`.

        Messages of the earlier writer are refused from now on.

        Returns:
          The version of the last items that replay got from a writer of this name; -1
          if it got none, or if this writer has no name.
        """
        if self._name is None:
            return -1
        return self._replay.replace_writer(self._name, self._writer)

    def write(
        self,
        items: Sequence[Items] = (),
        *,
        steps: Mapping[str, Array] | None = None,
        keep_from: Mapping[str, int] | None = None,
        num_env_steps: int = 0,
        episodes: Sequence[EpisodeEnd] = (),
        version: int = -1,
    ) -> None:
        """Inserts items, and waits until every one of them is admitted.

        With `num_ahead`, it waits only until replay is at most that many calls behind.
        Steps without items stay here until the next items. Items that are not admitted
        in time are sent first the next time. If a message is refused, all its items are
        dropped. Its steps are kept unless they caused the refusal, as later items may
        refer to them. Arrays may be kept uncopied: do not change them afterwards.

        Args:
          items: for one or more tables, in order.
          steps: by column, `[m, ...]`; the steps of each column are numbered from 0.
          keep_from: by column, the first step that later items may refer to.
          num_env_steps: taken since the last call; counted with the next items, or
            without items when there are many steps.
          episodes: that have ended since the last call; counted likewise.
          version: of the parameters with which the items were collected; only a writer
            with a name sends it.

        Raises:
          RpcTimeout: not everything was admitted before the deadline.
          ValueError: an argument is wrong, and no item was written. Or, of a writer
            that may be ahead, replay refused an earlier message: the items of this call
            are kept then, and must not be written again.
        """
        num_items = sum([part.num_items for part in items])  # Raises for a bad part.
        if steps:
            for name, rows in steps.items():
                self._check(name, rows)
            for name, rows in steps.items():
                self._steps[name].append(rows)
        self._num_env_steps += num_env_steps
        self._episodes.extend(episodes)
        if keep_from:
            self._keep_from.update(keep_from)
        if items:
            self._items.extend(items)
            self._num_items += num_items
            self._num_calls += 1
            self._version = version
        elif keep_from and not self._items:
            self._leave_out(keep_from)
        num_ahead = prefetch_depth(self._num_ahead)
        while self._pending and (self._num_behind > num_ahead or self._is_done()):
            self._finish_first()
        if not self._pending and self._has_enough():
            self._seal()
            if not num_ahead or self._num_behind > num_ahead:
                self._finish_first()
        if self._pending and self._under_way is None:
            self._under_way = start(self._replay.write, self._first())

    def skip(self, column: str, num_steps: int) -> None:
        """Leaves out the next steps of a column, to which no item will refer.

        These steps are numbered like all others.

        Raises:
          ValueError: earlier steps are still waiting here for items.
        """
        if self._items:
            self._seal()
        if self._steps.get(column):
            raise ValueError(f"column '{column}': steps before those to skip wait here")
        self._next[column] += num_steps

    def _leave_out(self, keep_from: Mapping[str, int]) -> None:
        """Leaves out steps that wait here for items, if none can refer to them."""
        for name, first in keep_from.items():
            waiting = self._steps.get(name)
            while waiting and (num_steps := first - self._next[name]) > 0:
                if num_steps < len(waiting[0]):
                    waiting[0] = waiting[0][num_steps:]
                    self._next[name] = first
                else:
                    self._next[name] += len(waiting.pop(0))
            if not waiting:
                self._steps.pop(name, None)

    def _has_enough(self) -> bool:
        """Whether enough is gathered to be sent."""
        return bool(self._items) or self._num_env_steps >= _MAX_UNCOUNTED

    @property
    def is_ahead(self) -> bool:
        """Whether some of what was written is not yet confirmed by replay.

        `write()` without arguments processes what replay has confirmed meanwhile.
        """
        return bool(self._pending or self._items)

    def flush(self) -> None:
        """Waits until all items that were written are admitted; raises as `write`."""
        while self._pending or self._items:
            if not self._pending:
                self._seal()
            self._finish_first()

    def close(self) -> None:
        """Lets replay release the steps that only this writer could refer to.

        It waits for the message that is under way, if there is one. Items that are not
        admitted then are lost: call `flush` first to wait for them.
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
            return  # the usual case
        is_alike = rows.dtype == before.dtype and rows.shape[1:] == before.shape[1:]
        if not is_alike or rows.ndim < 1:
            raise ValueError(
                f"column '{name}': expected rows to be {before.dtype} "
                f"{['m', *before.shape[1:]]}, got {rows.dtype} {list(rows.shape)}"
            )

    @property
    def _num_behind(self) -> int:
        """How many calls with items replay has not admitted."""
        return self._num_calls + sum(pending.num_calls for pending in self._pending)

    def _is_done(self) -> bool:
        """Whether the message that is under way, if one is, has an outcome."""
        return self._under_way is not None and self._under_way.done()

    def _seal(self) -> None:
        """Makes a message of what is gathered."""
        steps = {}
        for name, parts in self._steps.items():
            steps[name] = Steps(self._next[name], np.concatenate(parts))
            self._next[name] += len(steps[name].rows)
        self._steps.clear()
        items = joined(self._items)
        message = Message(
            writer=self._writer,
            number=0,
            steps=steps,
            items=items,
            keep_from=self._keep_from,
            num_env_steps=self._num_env_steps,
            episodes=self._episodes,
            share=None if self._name is None else Share(self._name, self._version),
        )
        self._pending.append(_Pending(message, self._num_items, self._num_calls))
        self._items, self._num_items = [], 0
        self._num_calls, self._keep_from = 0, {}
        self._num_env_steps, self._episodes = 0, []

    def _first(self) -> Message:
        return self._pending[0].message._replace(number=self._num_sent + 1)

    def _finish_first(self) -> None:
        """Waits until all items of the first message are admitted."""
        message, num_items = self._first(), self._pending[0].num_items
        try:
            num_admitted = self._send(message)
            while num_admitted < num_items:
                # Replay has the whole message; some items are still to be admitted.
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

        Later items may refer to these steps. Steps that are refused too are dropped.
        """
        message = self._pending.popleft().message
        # Replay may know the number, if it failed while it admitted the items.
        self._num_sent += 1
        if message.items and message.steps:
            steps = message._replace(items=(), num_env_steps=0, episodes=())
            self._pending.appendleft(_Pending(steps, 0, 0))
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
                self._under_way = None  # Outside a run, the next call sends it again.
                raise
            except RpcTimeout:
                # A call that was sent ahead may have had an earlier deadline than this.
                if is_new or not call.done():
                    raise
            finally:
                if self._under_way is not None and call.done():
                    self._under_way = None


def joined(items: Sequence[Items]) -> list[Items]:
    """Joins successive items of one table where they fit; the order stays the same."""
    if len(items) == 1:
        return list(items)
    found: list[list[Items]] = []
    for part in items:
        if found and _fit(found[-1][0], part):
            found[-1].append(part)
        else:
            found.append([part])
    return [parts[0] if len(parts) == 1 else _join(parts) for parts in found]


def _fit(one: Items, other: Items) -> bool:
    is_like = one.table == other.table and one.columns == other.columns
    if not is_like or (one.priorities is None) != (other.priorities is None):
        return False
    leaves, structure = optree.tree_flatten(one.data)
    others, its_structure = optree.tree_flatten(other.data)
    return structure == its_structure and all(
        # A leaf without rows is wrong. Replay reports this for each part separately.
        _has_rows(a)
        and _has_rows(b)
        and a.dtype == b.dtype
        and a.shape[1:] == b.shape[1:]
        for a, b in zip(leaves, others, strict=True)
    )


def _has_rows(leaf: object) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.ndim > 0


def _join(parts: Sequence[Items]) -> Items:
    data = optree.tree_map(lambda *rows: np.concatenate(rows), *(p.data for p in parts))
    priorities = [part.priorities for part in parts if part.priorities is not None]
    return parts[0]._replace(
        data=data, priorities=np.concatenate(priorities) if priorities else None
    )
