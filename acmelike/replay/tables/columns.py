"""The contents of a table's items: one column for each leaf of the signature.

A leaf is either an array of the item's own (`ArrayColumn`) or rows that items share
(`RowsColumn`). Both are indexed by slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import optree
from dm_env import specs
from numpy.typing import DTypeLike

from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.rows import Histories, RowRefs, SharedColumn
from acmelike.replay.storage.snapshot import Arrays, ArraySnapshot, RowSubset, Snapshot
from acmelike.types import Array, Nested

# By column, a function from the row ids in a checkpoint to the ids in this process.
NewIds: TypeAlias = Mapping[str, Callable[[Array], Array]]
# As in `Items`.
StepColumns: TypeAlias = tuple[str | None, ...] | None


class ItemBatch(NamedTuple):
    """Items that were checked against the signature, as a table stores them.

    Attributes:
      leaves: `[n, ...]`, by column.
      priorities: `[n]`; None for the largest priority at the time of storing.
    """

    leaves: list[Array]
    priorities: Array | None

    @property
    def num_items(self) -> int:
        """Number of items, n."""
        return len(self.leaves[0])

    def part(self, start: int, stop: int | None) -> ItemBatch:
        """The items from `start` to `stop`."""
        leaves, priorities = self.leaves, self.priorities
        return ItemBatch(
            [leaf[start:stop] for leaf in leaves],
            None if priorities is None else priorities[start:stop],
        )


class Column(Protocol):
    """One leaf of the items of a table, by slot.

    Attributes:
      item_bytes: memory that a slot takes here.
      kind: describes this leaf of an item, as text.
    """

    item_bytes: int
    kind: str

    def encode(self, leaf: Array, num_items: int, histories: Histories) -> Array:
        """Converts a writer's leaf `[n, ...]` to the array that `put` takes.

        Raises:
          ValueError: it is not as the signature says. The message begins with "to be".
        """

    def put(self, slots: Array, encoded: Array) -> None:
        """Stores into slots `[n]`, which are empty."""

    def drop(self, slots: Array) -> None:
        """Makes slots `[n]` empty."""

    def take(self, slots: Array) -> Array:
        """A copy of the contents of slots `[n]`: `[n, ...]`."""

    def add_to_snapshot(self, snapshot: Snapshot, subset: RowSubset, name: str) -> None:
        """Adds the contents of a subset of the slots, as they are now."""

    def restore(self, slots: Array, saved: Array, new_ids: NewIds) -> None:
        """Stores saved contents into slots `[n]`, which are empty."""


class ArrayColumn:
    """Stores an array for every slot; a `Column`.

    Attributes:
      values: `[num_slots, ...]`, read only for callers.
    """

    def __init__(self, spec: specs.Array, num_slots: int):
        self._spec = spec
        self.values = lazy_zeros((num_slots, *spec.shape), spec.dtype)
        self.item_bytes: int = self.values[0].nbytes
        self.kind = f"{spec.dtype} {list(spec.shape)}"
        self._snapshot: ArraySnapshot | None = None

    def encode(self, leaf: Array, num_items: int, histories: Histories) -> Array:
        return checked_leaf(leaf, (num_items, *self._spec.shape), self._spec.dtype)

    def put(self, slots: Array, encoded: Array) -> None:
        if self._snapshot is not None:
            self._snapshot.before_overwriting(slots)
        self.values[slots] = encoded

    def drop(self, slots: Array) -> None:
        pass

    def take(self, slots: Array) -> Array:
        return self.values.take(slots, axis=0)

    def add_to_snapshot(self, snapshot: Snapshot, subset: RowSubset, name: str) -> None:
        self._snapshot = snapshot.add(name, self.values, subset)

    def restore(self, slots: Array, saved: Array, new_ids: NewIds) -> None:
        self.put(slots, saved)


class RowsColumn:
    """Stores the ids of rows for every slot; a `Column`.

    A writer's leaf has the numbers of its steps. `encode` finds the ids of their rows.
    """

    def __init__(self, spec: Rows, refs: RowRefs, num_slots: int):
        self._spec, self._refs = spec, refs
        self._ids = lazy_zeros((num_slots, *spec.lengths), np.int64)
        self.item_bytes = self._ids[0].nbytes
        self.kind = f"rows of '{spec.column}' {list(spec.lengths)}"
        self._snapshot: ArraySnapshot | None = None

    def encode(self, leaf: Array, num_items: int, histories: Histories) -> Array:
        numbers = checked_leaf(leaf, (num_items, *self._ids.shape[1:]), np.int64)
        return find_rows(numbers, self._spec.column, histories)

    def put(self, slots: Array, encoded: Array) -> None:
        if self._snapshot is not None:
            self._snapshot.before_overwriting(slots)
        self._ids[slots] = encoded
        self._refs.incref(encoded)

    def drop(self, slots: Array) -> None:
        self._refs.decref(self._ids.take(slots, axis=0))

    def take(self, slots: Array) -> Array:
        return self._refs.column.take(self._ids.take(slots, axis=0))

    def add_to_snapshot(self, snapshot: Snapshot, subset: RowSubset, name: str) -> None:
        self._snapshot = snapshot.add(name, self._ids, subset)

    def restore(self, slots: Array, saved: Array, new_ids: NewIds) -> None:
        self.put(slots, new_ids[self._spec.column](saved))


class Columns:
    """Stores the contents of a table's items, by slot; copies its input and output.

    Args:
      config: of the table.
      num_slots: number of slots.
      shared: the shared columns that the signature names, by name.
    """

    def __init__(
        self, config: TableConfig, num_slots: int, shared: Mapping[str, SharedColumn]
    ):
        self._name, self._num_slots = config.name, num_slots
        leaves, self._structure = optree.tree_flatten(config.signature)
        self._specs = leaves
        names = {spec.column for spec in leaves if isinstance(spec, Rows)}
        self._refs = {name: RowRefs(shared[name]) for name in sorted(names)}
        self._columns = [self._make_column(spec) for spec in leaves]
        self._item_bytes: int = sum(column.item_bytes for column in self._columns)

    def encode(
        self,
        items: Nested,
        histories: Histories | None,
        columns: StepColumns = None,
    ) -> tuple[list[Array], int]:
        """Returns a writer's items as arrays for `put`, and the number of items.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1. Leaves of
            `Rows` have the numbers of steps.
          histories: the writer's steps, by column.
          columns: the column names that the writer gives; see `Items.columns`.

        Raises:
          ValueError: they are not as the signature says; names the leaf.
        """
        leaves, structure = optree.tree_flatten(items)
        check_structure(self._name, structure, self._structure)
        check_columns(self._name, structure, self._specs, columns)
        leaves = [np.asarray(leaf) for leaf in leaves]
        num_items = leaves[0].shape[0] if leaves[0].ndim else 0
        for index, (column, leaf) in enumerate(zip(self._columns, leaves, strict=True)):
            try:
                leaves[index] = column.encode(leaf, num_items, histories or {})
            except ValueError as error:
                raise leaf_error(self._name, structure, index, error) from None
        check_not_empty(self._name, num_items)
        return leaves, num_items

    def put(self, slots: Array, leaves: list[Array]) -> None:
        """Stores into slots `[n]`, which are empty."""
        for column, leaf in zip(self._columns, leaves, strict=True):
            column.put(slots, leaf)

    def drop(self, slots: Array) -> None:
        """Makes slots `[n]` empty."""
        for column in self._columns:
            column.drop(slots)

    def take(self, slots: Array) -> Nested:
        """A copy of the items in slots `[n]`, a nest of `[n, ...]`."""
        leaves = [column.take(slots) for column in self._columns]
        return optree.tree_unflatten(self._structure, leaves)

    def leaf_kinds(self) -> dict[str, str]:
        """The `kind` of the column of each leaf, by the leaf's path."""
        accessors = self._structure.accessors()
        return {
            accessor.codify("items"): column.kind
            for accessor, column in zip(accessors, self._columns, strict=True)
        }

    def add_to_snapshot(
        self, snapshot: Snapshot, subset: RowSubset, prefix: str
    ) -> None:
        """Adds the contents of a subset of the slots, a file for each leaf."""
        for index, column in enumerate(self._columns):
            column.add_to_snapshot(snapshot, subset, f"{prefix}-leaf-{index}")

    def restore(
        self, slots: Array, places: Array, saved: Arrays, new_ids: NewIds
    ) -> None:
        """Stores the saved items at `places` `[n]` into slots `[n]`."""
        for index, column in enumerate(self._columns):
            column.restore(slots, saved(f"leaf-{index}")[places], new_ids)

    def num_bytes(self, num_items: int) -> int:
        """Bytes of all items held, `num_items` of them; shared rows count once."""
        return num_items * self._item_bytes + self.num_row_bytes()

    def num_row_bytes(self) -> int:
        """Bytes of the rows that the items refer to, each row once."""
        refs = self._refs.values()
        return sum(one.num_rows * one.column.row_bytes for one in refs)

    def num_index_bytes(self) -> int:
        """Bytes of the bookkeeping for the rows that the items refer to."""
        return sum(one.num_rows * one.row_index_bytes for one in self._refs.values())

    def _make_column(self, spec: specs.Array | Rows) -> Column:
        if isinstance(spec, Rows):
            return RowsColumn(spec, self._refs[spec.column], self._num_slots)
        return ArrayColumn(spec, self._num_slots)


# --- Checks of what callers give -----------------------------------------------------


def checked_leaf(leaf: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """The leaf, if it has this shape and dtype.

    Raises:
      ValueError: it has not. The message begins with "to be".
    """
    if leaf.dtype != dtype or leaf.shape != shape:
        raise ValueError(
            f"to be {np.dtype(dtype)} {list(shape)}, got {leaf.dtype} "
            f"{list(leaf.shape)}"
        )
    return leaf


def find_rows(numbers: Array, column: str, histories: Histories) -> Array:
    """The ids of the rows of steps `[...]` of one column.

    Raises:
      ValueError: a step was not written. The message begins with "to be".
    """
    if column not in histories:
        raise ValueError(f"to be of steps that were written, got none of '{column}'")
    return histories[column].find(numbers)


def check_structure(
    table: str, structure: optree.PyTreeSpec, expected: optree.PyTreeSpec
) -> None:
    """Refuses items whose nest is not that of the signature.

    Raises:
      ValueError: names both.
    """
    if structure != expected:
        raise ValueError(
            f"table '{table}': expected items of structure {expected}, got {structure}"
        )


def check_columns(
    table: str,
    structure: optree.PyTreeSpec,
    leaves: Sequence[specs.Array | Rows],
    columns: StepColumns,
) -> None:
    """Refuses steps of other columns than those of the signature's `leaves`.

    Raises:
      ValueError: names the leaf, and both columns.
    """
    if columns is None:
        return
    for index, (spec, column) in enumerate(zip(leaves, columns, strict=True)):
        wanted = spec.column if isinstance(spec, Rows) else None
        if column != wanted:
            words = f"to be {_source(wanted)}, got {_source(column)}"
            raise leaf_error(table, structure, index, ValueError(words))


def _source(column: str | None) -> str:
    return "an array" if column is None else f"steps of '{column}'"


def check_not_empty(table: str, num_items: int) -> None:
    """Refuses an insert of no items.

    Raises:
      ValueError: names the table.
    """
    if num_items == 0:
        raise ValueError(f"table '{table}': expected at least 1 item to insert, got 0")


def leaf_error(
    table: str, structure: optree.PyTreeSpec, index: int, error: ValueError
) -> ValueError:
    """Puts the table and the leaf's path before an error that begins with "to be"."""
    path = structure.accessors()[index].codify("items")
    return ValueError(f"table '{table}': expected {path} {error}")
