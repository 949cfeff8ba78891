"""Columns of rows that items and tables share, and that stay while they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.storage.lazy_zeros import grown, lazy_zeros
from acmelike.replay.storage.row_subset import RowSubset
from acmelike.replay.storage.snapshot import ArraySnapshot, Snapshot
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
