"""Rows that items share: each is stored once, and freed with its last holder.

A `SharedColumn` stores the rows. Two things hold them: a writer's latest steps
(`WriterHistory`), and the items of a table (`RowRefs`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.message import PADDING
from acmelike.replay.storage.lazy_zeros import grown, lazy_zeros
from acmelike.replay.storage.snapshot import ArraySnapshot, RowSubset, Snapshot
from acmelike.types import Array

# The id of the row of zeros. It is always there and is used as padding.
ZEROS = 0
# Stands for an id in a writer's history, where the step was never sent.
_MISSING = -1
# Rows that writers may hold beyond those of the tables, before a column has to grow.
_MAX_WRITER_ROWS = 2**16


class SharedColumn:
    """Stores each row of one column once, under its id.

    A row has holders: writers that may still refer to it, and tables with items that
    do. It is freed when the last holder releases it.

    Args:
      name: the column's name.
      row: the spec of one row.
      max_table_rows: the most rows that the items of all tables can refer to.

    Attributes:
      name: the column's name.
      row: the spec of one row.
      kind: dtype and shape of a row, as text.
      num_rows: number of rows held.
      row_bytes: size of a row, in bytes.
      row_index_bytes: size of the bookkeeping for a row, in bytes.
    """

    def __init__(self, name: str, row: specs.Array, max_table_rows: int):
        self.name, self.row = name, row
        self.kind = f"{row.dtype} {list(row.shape)}"
        capacity = max_table_rows + _MAX_WRITER_ROWS
        self._rows = lazy_zeros((capacity, *row.shape), row.dtype)
        self._num_holders = lazy_zeros((capacity,), np.int32)
        # A stack of freed ids. Ids from `_num_used` on were never used.
        self._free = lazy_zeros((capacity,), np.int64)
        self._num_free, self._num_used = 0, ZEROS + 1
        self.num_rows = 0
        self._snapshot: ArraySnapshot | None = None
        self.row_bytes: int = self._rows[0].nbytes
        self.row_index_bytes = self._num_holders.itemsize + self._free.itemsize

    def append(self, rows: Array) -> Array:
        """Stores rows `[m, ...]`, held by the caller; returns their ids `[m]`."""
        num_reused = min(len(rows), self._num_free)
        self._num_free -= num_reused
        reused = self._free[self._num_free : self._num_free + num_reused]
        num_fresh = len(rows) - num_reused
        if self._num_used + num_fresh > len(self._rows):
            self._grow(2 * (self._num_used + num_fresh))
        fresh = np.arange(self._num_used, self._num_used + num_fresh)
        self._num_used += num_fresh
        ids = np.concatenate([reused, fresh])
        if self._snapshot is not None:
            self._snapshot.before_overwriting(ids)
        self._rows[ids], self._num_holders[ids] = rows, 1
        self.num_rows += len(ids)
        return ids

    def take(self, ids: Array) -> Array:
        """A copy of the rows with ids `[...]`: `[..., *row]`."""
        rows: Array = self._rows.take(ids, axis=0)
        return rows

    def hold(self, ids: Array) -> None:
        """Adds a holder to each of these rows; ids `[m]` without repetition."""
        self._num_holders[ids] += 1

    def release(self, ids: Array) -> None:
        """Removes a holder from each row, as `hold` adds it; frees rows without one."""
        self._num_holders[ids] -= 1
        freed = ids[self._num_holders[ids] == 0]
        self._free[self._num_free : self._num_free + len(freed)] = freed
        self._num_free += len(freed)
        self.num_rows -= len(freed)

    def add_to_snapshot(self, snapshot: Snapshot, prefix: str) -> str:
        """Adds all rows that are held now, and their ids in ascending order.

        Returns:
          `kind`.
        """
        held = RowSubset(self._num_holders[: self._num_used] > 0)
        snapshot.add_deferred(f"{prefix}-ids", held.rows)
        self._snapshot = snapshot.add(f"{prefix}-rows", self._rows, held)
        return self.kind

    def _grow(self, capacity: int) -> None:
        self._rows = grown(self._rows, capacity)
        self._num_holders = grown(self._num_holders, capacity)
        self._free = grown(self._free, capacity)


class RowRefs:
    """Counts how often the items of one table refer to each row of a column.

    The table is one holder of a row, however many of its items refer to it.

    Attributes:
      column: the column.
      num_rows: number of different rows referred to.
      row_index_bytes: size of the bookkeeping for a row, here and in the column.
    """

    def __init__(self, column: SharedColumn):
        self.column, self.num_rows = column, 0
        self._num_refs = np.zeros(0, np.int32)
        self.row_index_bytes = column.row_index_bytes + self._num_refs.itemsize

    def incref(self, ids: Array) -> None:
        """Adds a reference for each of ids `[...]`, which may repeat."""
        largest = int(ids.max(initial=0))
        if largest >= len(self._num_refs):
            self._num_refs = grown(self._num_refs, 2 * largest + 1024)
        unique = _unique_rows(ids)
        new = unique[self._num_refs[unique] == 0]
        np.add.at(self._num_refs, ids.ravel(), 1)
        self.column.hold(new)
        self.num_rows += len(new)

    def decref(self, ids: Array) -> None:
        """Removes a reference for each of ids `[...]`, which may repeat."""
        np.subtract.at(self._num_refs, ids.ravel(), 1)
        unique = _unique_rows(ids)
        unused = unique[self._num_refs[unique] == 0]
        self.column.release(unused)
        self.num_rows -= len(unused)


class WriterHistory:
    """Keeps a writer's steps in one column that later items may still refer to.

    The writer numbers its steps; a history finds the ids of their rows.

    Args:
      column: where the rows are.
    """

    def __init__(self, column: SharedColumn):
        self._column = column
        self._first = 0
        self._ids = np.empty(0, np.int64)

    def check(self, first: int, rows: Array) -> None:
        """Checks the arguments of `append`.

        Raises:
          ValueError: the rows are not as the column's, or a number was used before.
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
        """Releases the rows appended last."""
        self._ids, undone = np.split(self._ids, [len(self._ids) - num_rows])
        self._column.release(undone)

    def find(self, numbers: Array) -> Array:
        """Ids of the rows of steps `[...]`; `PADDING` gives the row of zeros.

        Raises:
          ValueError: a step was never sent, or is no longer kept. The message begins
            with "to be".
        """
        places = numbers - self._first
        is_padding = numbers == PADDING
        is_kept = (places >= 0) & (places < len(self._ids))
        ids = self._ids.take(np.where(is_kept, places, 0)) if len(self._ids) else places
        is_lost = ~is_padding & (~is_kept | (ids == _MISSING))
        if is_lost.any():
            raise ValueError(
                f"to be of steps {self._first} to {self._next() - 1} of "
                f"'{self._column.name}', got {numbers[is_lost].flat[0]}"
            )
        return np.where(is_padding, ZEROS, ids)

    def trim(self, keep_from: int) -> None:
        """Releases the steps before number `keep_from`."""
        num_trimmed = min(max(0, keep_from - self._first), len(self._ids))
        trimmed, self._ids = self._ids[:num_trimmed], self._ids[num_trimmed:]
        self._column.release(trimmed[trimmed != _MISSING])
        self._first += num_trimmed

    def close(self) -> None:
        """Releases all steps."""
        self.trim(self._next())

    def _next(self) -> int:
        return self._first + len(self._ids)


# What a writer's items may refer to, by the column's name.
Histories: TypeAlias = Mapping[str, WriterHistory]


def make_shared_columns(tables: Sequence[TableConfig]) -> dict[str, SharedColumn]:
    """The columns that the signatures of tables name, by name.

    Raises:
      ConfigError: two signatures give one column different rows.
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
            max_rows = (table.max_size + 1) * math.prod(leaf.lengths)
            num_rows[leaf.column] = num_rows.get(leaf.column, 0) + max_rows
    return {name: SharedColumn(name, row, num_rows[name]) for name, row in rows.items()}


def _unique_rows(ids: Array) -> Array:
    """The different ids of `[...]`, without the row of zeros."""
    unique: Array = np.unique(ids)
    found: Array = unique[unique != ZEROS]
    return found
