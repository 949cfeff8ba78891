"""Columns of rows that items and tables share, and that stay while they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.message import PADDING
from acmelike.replay.storage.lazy_zeros import grown, lazy_zeros
from acmelike.replay.storage.snapshot import ArraySnapshot, RowSubset, Snapshot
from acmelike.types import Array

# The row of zeros, which pads what is too short and is always there.
ZEROS = 0
# Rows that writers may hold beyond those of the tables, before a column has to grow.
_ROWS_OF_WRITERS = 2**16


class SharedColumn:
    """Rows of one name; each is stored once and known by its id.

    A row stays while it has holders: writers that may still refer to it, and tables
    with items that do.

    Attributes:
      name: the column's name.
      row: the spec of one row.
      kind: dtype and shape of one, in words.
      num_rows: rows that are held.
      row_bytes: bytes of one row.
      row_index_bytes: index bytes of one row: what is kept about it.
    """

    def __init__(self, name: str, row: specs.Array, num_rows_of_tables: int):
        self.name, self.row = name, row
        self.kind = f"{row.dtype} {list(row.shape)}"
        capacity = num_rows_of_tables + _ROWS_OF_WRITERS
        self._rows = lazy_zeros((capacity, *row.shape), row.dtype)
        self._num_holders = lazy_zeros((capacity,), np.int32)
        # A stack of ids that were given up; those from `_num_used` on never were used.
        self._free = lazy_zeros((capacity,), np.int64)
        self._num_free, self._num_used = 0, ZEROS + 1
        self.num_rows = 0
        self._copying: ArraySnapshot | None = None
        self.row_bytes: int = self._rows[0].nbytes
        self.row_index_bytes = self._num_holders.itemsize + self._free.itemsize

    def append(self, rows: Array) -> Array:
        """Stores rows `[m, ...]`, held by who appends them; returns their ids `[m]`."""
        num_again = min(len(rows), self._num_free)
        self._num_free -= num_again
        again = self._free[self._num_free : self._num_free + num_again]
        num_fresh = len(rows) - num_again
        if self._num_used + num_fresh > len(self._rows):
            self._grow(2 * (self._num_used + num_fresh))
        fresh = np.arange(self._num_used, self._num_used + num_fresh)
        self._num_used += num_fresh
        ids = np.concatenate([again, fresh])
        if self._copying is not None:
            self._copying.before_overwriting(ids)
        self._rows[ids], self._num_holders[ids] = rows, 1
        self.num_rows += len(ids)
        return ids

    def take(self, ids: Array) -> Array:
        """A copy of the rows with ids `[...]`: `[..., *row]`."""
        rows: Array = self._rows.take(ids, axis=0)
        return rows

    def hold(self, ids: Array) -> None:
        """One more holder for each of these; ids `[m]`, none of them twice."""
        self._num_holders[ids] += 1

    def release(self, ids: Array) -> None:
        """One holder less; who has none left is given up. Ids as in `hold`."""
        self._num_holders[ids] -= 1
        gone = ids[self._num_holders[ids] == 0]
        self._free[self._num_free : self._num_free + len(gone)] = gone
        self._num_free += len(gone)
        self.num_rows -= len(gone)

    def begin_save(self, copies: Snapshot, prefix: str) -> str:
        """Begins to copy the rows that are held now, and their ids in ascending order.

        Returns:
          The kind of a row.
        """
        held = RowSubset(self._num_holders[: self._num_used] > 0)
        copies.later(f"{prefix}-ids", held.rows)
        self._copying = copies.begin(f"{prefix}-rows", self._rows, held)
        return self.kind

    def _grow(self, capacity: int) -> None:
        self._rows = grown(self._rows, capacity)
        self._num_holders = grown(self._num_holders, capacity)
        self._free = grown(self._free, capacity)


class RowRefs:
    """What one table holds of one column, whose rows its items refer to many times.

    Attributes:
      column: the column.
      num_rows: different rows that are referred to.
      row_index_bytes: what is kept about one, in here and in the column.
    """

    def __init__(self, column: SharedColumn):
        self.column, self.num_rows = column, 0
        self._num_references = np.zeros(0, np.int32)
        self.row_index_bytes = column.row_index_bytes + self._num_references.itemsize

    def incref(self, ids: Array) -> None:
        """Items refer to rows `[...]`, of which some may be the same."""
        self._fit(ids)
        unique = _without_zeros(ids)
        new = unique[self._num_references[unique] == 0]
        np.add.at(self._num_references, ids.ravel(), 1)
        self.column.hold(new)
        self.num_rows += len(new)

    def decref(self, ids: Array) -> None:
        """Items that referred to rows `[...]` are gone."""
        np.subtract.at(self._num_references, ids.ravel(), 1)
        unique = _without_zeros(ids)
        gone = unique[self._num_references[unique] == 0]
        self.column.release(gone)
        self.num_rows -= len(gone)

    def _fit(self, ids: Array) -> None:
        largest = int(ids.max(initial=0))
        if largest >= len(self._num_references):
            self._num_references = grown(self._num_references, 2 * largest + 1024)


def _without_zeros(ids: Array) -> Array:
    unique: Array = np.unique(ids)
    found: Array = unique[unique != ZEROS]
    return found


def make_shared_columns(tables: Sequence[TableConfig]) -> dict[str, SharedColumn]:
    """The columns that the signatures of tables name, by name.

    Raises:
      ConfigError: one column would have rows of two kinds.
    """
    rows: dict[str, specs.Array] = {}
    num_rows: dict[str, int] = {}
    for table in tables:
        for leaf in optree.tree_leaves(table.signature):
            if not isinstance(leaf, Rows):
                continue
            row = rows.setdefault(leaf.column, leaf.row)
            if (row.shape, row.dtype) != (leaf.row.shape, leaf.row.dtype):
                raise ConfigError(
                    f"table '{table.name}': expected rows of '{leaf.column}' to be "
                    f"{row.dtype} {list(row.shape)} as elsewhere, got "
                    f"{leaf.row.dtype} {list(leaf.row.shape)}"
                )
            most = (table.max_size + 1) * math.prod(leaf.lengths)
            num_rows[leaf.column] = num_rows.get(leaf.column, 0) + most
    return {name: SharedColumn(name, row, num_rows[name]) for name, row in rows.items()}


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
