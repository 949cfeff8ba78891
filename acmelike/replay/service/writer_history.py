"""What one writer may still refer to: the steps that it wrote last."""

from __future__ import annotations

import numpy as np

from acmelike.replay.storage.rows import ZEROS, SharedColumn
from acmelike.types import Array

# The number of no step: the row of zeros.
PADDING = -1
_MISSING = -1


class WriterHistory:
    """The latest steps of one writer in one column, by the writer's own numbers.

    Args:
      column: where the rows are.
    """

    def __init__(self, column: SharedColumn):
        self._column = column
        self._first = 0
        self._ids = np.empty(0, np.int64)

    def check(self, first: int, rows: Array) -> None:
        """Refuses what `append` could not take.

        Raises:
          ValueError: other rows than the column's, or numbers that were used before.
        """
        row = self._column.row
        if rows.dtype != row.dtype or rows.ndim < 1 or rows.shape[1:] != row.shape:
            raise ValueError(
                f"column '{self._column.name}': expected rows to be {row.dtype} "
                f"{['m', *row.shape]}, got {rows.dtype} {list(rows.shape)}"
            )
        if first < self._next():
            raise ValueError(
                f"column '{self._column.name}': expected steps from {self._next()} on, "
                f"got {first}"
            )

    def append(self, first: int, rows: Array) -> None:
        """Stores rows `[m, ...]` of the steps from number `first` on."""
        skipped = np.full(first - self._next(), _MISSING, np.int64)
        if not len(self._ids):
            self._first, skipped = first, skipped[:0]
        ids = self._column.append(rows)
        self._ids = np.concatenate([self._ids, skipped, ids])

    def undo(self, num_rows: int) -> None:
        """Takes back the rows appended last."""
        kept, gone = np.split(self._ids, [len(self._ids) - num_rows])
        self._ids = kept
        self._column.release(gone)

    def find(self, numbers: Array) -> Array:
        """The ids of the rows of steps `[...]`; `PADDING` is the row of zeros.

        Raises:
          ValueError: a step was never written here, or is no longer kept.
        """
        places = numbers - self._first
        is_padding = numbers == PADDING
        is_there = (places >= 0) & (places < len(self._ids))
        ids = (
            self._ids.take(np.where(is_there, places, 0)) if len(self._ids) else places
        )
        lost = ~is_padding & (~is_there | (ids == _MISSING))
        if lost.any():
            raise ValueError(
                f"to be of steps {self._first} to {self._next() - 1} of "
                f"'{self._column.name}', got {numbers[lost].flat[0]}"
            )
        return np.where(is_padding, ZEROS, ids)

    def trim(self, keep_from: int) -> None:
        """Gives up the steps before number `keep_from`."""
        num_gone = min(max(0, keep_from - self._first), len(self._ids))
        gone, self._ids = self._ids[:num_gone], self._ids[num_gone:]
        self._column.release(gone[gone != _MISSING])
        self._first += num_gone

    def close(self) -> None:
        """Gives up everything."""
        self.trim(self._next())

    def _next(self) -> int:
        return self._first + len(self._ids)
