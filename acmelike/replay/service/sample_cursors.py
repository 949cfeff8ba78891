"""Samples that iterators have drawn ahead of need and not used yet."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from acmelike.types import Array


class SampleCursor(NamedTuple):
    """Position of an iterator that draws samples ahead of need.

    Attributes:
      iterator: a random number that identifies the iterator.
      num_used: number of samples that it has used so far.
    """

    iterator: int
    num_used: int


class PendingSample(NamedTuple):
    """A sample that was drawn and, as far as is known, not used yet.

    Attributes:
      table: the table's name.
      keys: `[n]`, of its items.
    """

    table: str
    keys: Array


@dataclass
class _IteratorState:
    """The known state of one iterator.

    Attributes:
      num_used: number of samples that it has used, as far as is known.
      pending: samples that it has not used, the oldest first.
    """

    num_used: int = 0
    pending: deque[PendingSample] = field(default_factory=deque)

    def advance(self, num_used: int) -> None:
        """Drops the samples that were used by now."""
        # If replay was restarted, some of these were drawn before the restart.
        for _ in range(min(num_used - self.num_used, len(self.pending))):
            self.pending.popleft()
        self.num_used = max(self.num_used, num_used)


class SampleCursors:
    """Keeps the pending samples of each iterator.

    An iterator whose process died cannot be distinguished from a slow one. When there
    are too many iterators, the one that has not drawn for the longest time is
    forgotten, and its samples count as used.

    Args:
      max_cursors: how many iterators are remembered.
    """

    def __init__(self, max_cursors: int):
        self._max_cursors = max_cursors
        # The iterator that drew last is at the end.
        self._iterators: OrderedDict[int, _IteratorState] = OrderedDict()

    def add(self, cursor: SampleCursor, sample: PendingSample) -> None:
        """Adds a sample, and drops those that the cursor says were used."""
        state = self._iterators.setdefault(cursor.iterator, _IteratorState())
        self._iterators.move_to_end(cursor.iterator)
        state.advance(cursor.num_used)
        state.pending.append(sample)
        if len(self._iterators) > self._max_cursors:
            self._iterators.popitem(last=False)

    def num_prefetched(self, table: str) -> int:
        """Number of items in the pending samples of a table."""
        return sum(
            len(sample.keys)
            for state in self._iterators.values()
            for sample in state.pending
            if sample.table == table
        )

    def reset(self, table: str) -> None:
        """Drops the items of a table; their samples keep their place in the order."""
        for state in self._iterators.values():
            state.pending = deque(
                sample._replace(keys=sample.keys[:0])
                if sample.table == table
                else sample
                for sample in state.pending
            )

    def close(self, cursor: SampleCursor) -> list[PendingSample]:
        """Forgets an iterator; returns the samples that it will not use."""
        state = self._iterators.pop(cursor.iterator, None)
        if state is None:
            return []
        state.advance(cursor.num_used)
        return list(state.pending)
