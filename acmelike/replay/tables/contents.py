"""What the slots of a table hold: a column for every leaf of its signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import optree
from dm_env import specs

from acmelike.replay.config import Rows, TableConfig
from acmelike.replay.storage.row_subset import RowSubset
from acmelike.replay.storage.rows import RowRefs, SharedColumn
from acmelike.replay.storage.snapshot import Arrays, Snapshot
from acmelike.replay.tables.columns import Column, Ids, OwnColumn, RowsColumn, Windows
from acmelike.types import Array, Nested


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
