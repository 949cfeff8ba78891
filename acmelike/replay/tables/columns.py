"""The leaves of a table's items: arrays of its own, or rows that it shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import numpy as np
from dm_env import specs
from numpy.typing import DTypeLike

from acmelike.replay.config import Rows
from acmelike.replay.service.writer_history import WriterHistory
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.row_subset import RowSubset
from acmelike.replay.storage.rows import RowRefs
from acmelike.replay.storage.snapshot import ArraySnapshot, Snapshot
from acmelike.types import Array

# From the ids that rows were saved with to those that they have now, by column.
Ids: TypeAlias = Mapping[str, Callable[[Array], Array]]
# What a writer may refer to, by the name of the column.
Windows: TypeAlias = Mapping[str, WriterHistory]


class Column(Protocol):
    """One leaf of the items of a table, by slot.

    Attributes:
      item_bytes: what a slot takes in here.
      kind: what an item has here, in words.
    """

    item_bytes: int
    kind: str

    def prepared(self, leaf: Array, num_items: int, windows: Windows) -> Array:
        """What `put` takes, for a leaf `[n, ...]` as a writer gave it.

        Raises:
          ValueError: it is not what the signature says, in the words "to be ...".
        """

    def put(self, slots: Array, prepared: Array) -> None:
        """Into slots that hold nothing, or `drop` was called with."""

    def begin_save(self, slots: RowSubset, copies: Snapshot, name: str) -> None:
        """Begins to copy what slots hold now."""

    def load(self, slots: Array, saved: Array, ids: Ids) -> None:
        """Puts what was saved into slots `[n]`, rows by their new ids."""

    def drop(self, slots: Array) -> None:
        """The slots hold nothing any more."""

    def take(self, slots: Array) -> Array:
        """A copy of what slots `[n]` hold: `[n, ...]`."""


class OwnColumn:
    """An array for every slot.

    Attributes:
      values: `[num_slots, ...]`, to be read only.
    """

    def __init__(self, spec: specs.Array, num_slots: int):
        self._spec = spec
        self.values = lazy_zeros((num_slots, *spec.shape), spec.dtype)
        self.item_bytes: int = self.values[0].nbytes
        self.kind = f"{spec.dtype} {list(spec.shape)}"
        self._copying: ArraySnapshot | None = None

    def prepared(self, leaf: Array, num_items: int, windows: Windows) -> Array:
        """See `Column.prepared`."""
        return checked_leaf(leaf, (num_items, *self._spec.shape), self._spec.dtype)

    def put(self, slots: Array, prepared: Array) -> None:
        """See `Column.put`."""
        if self._copying is not None:
            self._copying.before_overwriting(slots)
        self.values[slots] = prepared

    def begin_save(self, slots: RowSubset, copies: Snapshot, name: str) -> None:
        """See `Column.begin_save`."""
        self._copying = copies.begin(name, self.values, slots)

    def load(self, slots: Array, saved: Array, ids: Ids) -> None:
        """See `Column.load`."""
        self.put(slots, saved)

    def drop(self, slots: Array) -> None:
        """See `Column.drop`."""

    def take(self, slots: Array) -> Array:
        """See `Column.take`."""
        return self.values.take(slots, axis=0)


class RowsColumn:
    """The ids of rows, for every slot."""

    def __init__(self, spec: Rows, holder: RowRefs, num_slots: int):
        self._spec, self._holder = spec, holder
        self._ids = lazy_zeros((num_slots, *spec.lengths), np.int64)
        self.item_bytes = self._ids[0].nbytes
        self.kind = f"rows of '{spec.column}' {list(spec.lengths)}"
        self._copying: ArraySnapshot | None = None

    def prepared(self, leaf: Array, num_items: int, windows: Windows) -> Array:
        """See `Column.prepared`; the leaf has numbers of steps."""
        numbers = checked_leaf(leaf, (num_items, *self._ids.shape[1:]), np.int64)
        if self._spec.column not in windows:
            raise ValueError(
                f"to be of steps that were written, got none of '{self._spec.column}'"
            )
        return windows[self._spec.column].find(numbers)

    def put(self, slots: Array, prepared: Array) -> None:
        """See `Column.put`."""
        if self._copying is not None:
            self._copying.before_overwriting(slots)
        self._ids[slots] = prepared
        self._holder.incref(prepared)

    def begin_save(self, slots: RowSubset, copies: Snapshot, name: str) -> None:
        """See `Column.begin_save`."""
        self._copying = copies.begin(name, self._ids, slots)

    def load(self, slots: Array, saved: Array, ids: Ids) -> None:
        """See `Column.load`."""
        self.put(slots, ids[self._spec.column](saved))

    def drop(self, slots: Array) -> None:
        """See `Column.drop`."""
        self._holder.decref(self._ids.take(slots, axis=0))

    def take(self, slots: Array) -> Array:
        """See `Column.take`."""
        return self._holder.column.take(self._ids.take(slots, axis=0))


def checked_leaf(leaf: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """The leaf, if it is so.

    Raises:
      ValueError: it is not, in the words "to be ...".
    """
    if leaf.dtype != dtype or leaf.shape != shape:
        raise ValueError(
            f"to be {np.dtype(dtype)} {list(shape)}, got {leaf.dtype} "
            f"{list(leaf.shape)}"
        )
    return leaf
