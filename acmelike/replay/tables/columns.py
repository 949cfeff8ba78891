"""The leaves of a table's items: arrays of its own, or rows that it shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import optree
from dm_env import specs
from numpy.typing import DTypeLike

from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.rows import RowRefs, SharedColumn, WriterHistory
from acmelike.replay.storage.snapshot import Arrays, ArraySnapshot, RowSubset, Snapshot
from acmelike.types import Array, Nested

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


class Prepared(NamedTuple):
    """Items that were checked, and will be stored.

    Attributes:
      leaves: `[n, ...]`, by column.
      priorities: `[n]`, or None for the largest so far when they are stored.
    """

    leaves: list[Array]
    priorities: Array | None

    @property
    def num_items(self) -> int:
        """How many."""
        return len(self.leaves[0])

    def part(self, start: int, stop: int | None) -> Prepared:
        """The items from `start` to `stop`."""
        leaves, priorities = self.leaves, self.priorities
        return Prepared(
            [leaf[start:stop] for leaf in leaves],
            None if priorities is None else priorities[start:stop],
        )


class Contents:
    """Items in columns; it copies what it is given, and gives out copies.

    Args:
      config: of the table.
      num_slots: how many items there may be.
      shared: the columns that the signature shares with other tables, by name.
    """

    def __init__(
        self, config: TableConfig, num_slots: int, shared: Mapping[str, SharedColumn]
    ):
        self._name, self._num_slots = config.name, num_slots
        leaves, self._structure = optree.tree_flatten(config.signature)
        names = {spec.column for spec in leaves if isinstance(spec, Rows)}
        self._holders = {name: RowRefs(shared[name]) for name in sorted(names)}
        self._columns = [self._make_column(spec) for spec in leaves]
        self._item_bytes: int = sum(column.item_bytes for column in self._columns)

    def prepared(
        self, items: Nested, windows: Windows | None
    ) -> tuple[list[Array], int]:
        """What `put` takes, and of how many items.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1; in the place
            of rows, the numbers of steps.
          windows: the steps that the numbers are of, by column.

        Raises:
          ValueError: they are not what the signature says, with the path of the leaf.
        """
        leaves, structure = optree.tree_flatten(items)
        if structure != self._structure:
            raise ValueError(
                f"table '{self._name}': expected items of structure {self._structure}, "
                f"got {structure}"
            )
        leaves = [np.asarray(leaf) for leaf in leaves]
        num_items = leaves[0].shape[0] if leaves[0].ndim else 0
        for index, (column, leaf) in enumerate(zip(self._columns, leaves, strict=True)):
            try:
                leaves[index] = column.prepared(leaf, num_items, windows or {})
            except ValueError as error:
                path = structure.accessors()[index].codify("items")
                raise ValueError(
                    f"table '{self._name}': expected {path} {error}"
                ) from None
        if num_items == 0:
            raise ValueError(
                f"table '{self._name}': expected at least 1 item to insert, got 0"
            )
        return leaves, num_items

    def put(self, slots: Array, leaves: list[Array]) -> None:
        """Into slots that hold nothing."""
        for column, leaf in zip(self._columns, leaves, strict=True):
            column.put(slots, leaf)

    def drop(self, slots: Array) -> None:
        """These slots hold nothing any more."""
        for column in self._columns:
            column.drop(slots)

    def take(self, slots: Array) -> Nested:
        """Snapshot of what slots `[n]` hold, a nest of `[n, ...]`."""
        leaves = [column.take(slots) for column in self._columns]
        return optree.tree_unflatten(self._structure, leaves)

    def leaves(self) -> dict[str, str]:
        """Of each leaf by its path, what an item has there, in words."""
        accessors = self._structure.accessors()
        return {
            accessor.codify("items"): column.kind
            for accessor, column in zip(accessors, self._columns, strict=True)
        }

    def begin_save(self, slots: RowSubset, copies: Snapshot, prefix: str) -> None:
        """Begins to copy what slots hold now, a file for each leaf."""
        for index, column in enumerate(self._columns):
            column.begin_save(slots, copies, f"{prefix}-leaf-{index}")

    def load(self, slots: Array, places: Array, saved: Arrays, ids: Ids) -> None:
        """Puts items that were saved, those at `places`, into slots."""
        for index, column in enumerate(self._columns):
            column.load(slots, saved(f"leaf-{index}")[places], ids)

    def num_bytes(self, num_items: int) -> int:
        """Of so many items, the ones held; rows that several share count once."""
        return num_items * self._item_bytes + self.num_row_bytes()

    def num_row_bytes(self) -> int:
        """Of the rows of the items held, each once."""
        return sum(h.num_rows * h.column.row_bytes for h in self._holders.values())

    def num_index_bytes(self) -> int:
        """What is kept about the shared rows of the items held."""
        return sum(h.num_rows * h.row_index_bytes for h in self._holders.values())

    def _make_column(self, spec: specs.Array | Rows) -> Column:
        if isinstance(spec, Rows):
            return RowsColumn(spec, self._holders[spec.column], self._num_slots)
        return OwnColumn(spec, self._num_slots)
