"""Finds the newest complete checkpoint, and restores tables and columns from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from acmelike.errors import CheckpointDamaged, ConfigError
from acmelike.replay.checkpoints.folder import (
    checkpoint_paths,
    is_checkpoint,
    read_metadata,
)
from acmelike.replay.config import TableConfig, with_limits
from acmelike.replay.storage.rows import ZEROS, SharedColumn
from acmelike.replay.tables.table import Table
from acmelike.types import Array

logger = logging.getLogger("acmelike")


class CheckpointReader:
    """Reads a complete checkpoint.

    Args:
      path: of its folder.

    Attributes:
      path: of its folder.
      metadata: the values that were saved besides arrays.

    Raises:
      CheckpointDamaged: a file is missing, truncated or changed.
    """

    def __init__(self, path: Path):
        self.path = path
        self.metadata = read_metadata(path)

    def with_limits(self, tables: Sequence[TableConfig]) -> list[TableConfig]:
        """The tables with the limits that were saved; a new table keeps its own.

        Raises:
          ConfigError: a saved limiter was not a built-in one.
        """
        saved = self.metadata["tables"]
        return [
            with_limits(table, saved[table.name]["limits"])
            if table.name in saved
            else table
            for table in tables
        ]

    def restore(
        self, tables: Mapping[str, Table], columns: Mapping[str, SharedColumn]
    ) -> None:
        """Fills new tables and columns.

        Raises:
          ConfigError: other tables or columns were saved, or other signatures.
        """
        self._check(tables, columns)
        new_ids: dict[str, Callable[[Array], Array]] = {}
        restored: list[tuple[SharedColumn, Array]] = []
        for number, name in enumerate(self.metadata["columns"]):
            saved = partial(self._array, f"column-{number}")
            ids = columns[name].append(saved("rows"))
            new_ids[name] = _id_map(saved("ids"), ids)
            restored.append((columns[name], ids))
        for number, (name, metadata) in enumerate(self.metadata["tables"].items()):
            tables[name].restore(
                metadata, partial(self._array, f"table-{number}"), new_ids
            )
        # By now the tables hold the rows that they need. All other rows are freed.
        for column, ids in restored:
            column.release(ids)

    def _array(self, prefix: str, name: str) -> Array:
        return np.asarray(np.load(self.path / f"{prefix}-{name}.npy", mmap_mode="r"))

    def _check(
        self, tables: Mapping[str, Table], columns: Mapping[str, SharedColumn]
    ) -> None:
        saved_tables = self.metadata["tables"]
        saved_columns = self.metadata["columns"]
        self._check_equal("", "tables", sorted(tables), sorted(saved_tables))
        for name, table in tables.items():
            kinds, saved_kinds = table.leaf_kinds, saved_tables[name]["leaves"]
            where = f"table '{name}': "
            self._check_equal(where, "leaves", list(kinds), list(saved_kinds))
            for path, kind in kinds.items():
                self._check_equal(where, f"{path} to be", kind, saved_kinds[path])
        self._check_equal("", "columns", sorted(columns), sorted(saved_columns))
        for name, column in columns.items():
            where, saved = f"column '{name}': ", saved_columns[name]
            self._check_equal(where, "rows to be", column.kind, saved)

    def _check_equal(
        self, where: str, what: str, expected: object, saved: object
    ) -> None:
        if saved != expected:
            raise ConfigError(
                f"{self.path}: {where}expected {what} {expected}, got {saved}"
            )


def newest_checkpoint(folder: Path) -> CheckpointReader | None:
    """The newest complete checkpoint; logs a warning for each damaged one.

    Args:
      folder: of checkpoints, or the folder of one checkpoint.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      CheckpointDamaged: there are checkpoints, but none is complete.
    """
    if is_checkpoint(folder):
        return CheckpointReader(folder)
    damages: list[str] = []
    for path in reversed(checkpoint_paths(folder)):
        try:
            return CheckpointReader(path)
        except CheckpointDamaged as error:
            logger.warning("%s; trying the checkpoint before it", error)
            damages.append(str(error))
    if damages:
        raise CheckpointDamaged(
            f"{folder}: none of its checkpoints is complete: {'; '.join(damages)}"
        )
    return None


def _id_map(old: Array, new: Array) -> Callable[[Array], Array]:
    """A function from ids `old` `[n]`, in ascending order, to ids `new` `[n]`."""

    def new_ids(ids: Array) -> Array:
        places = np.searchsorted(old, ids).clip(max=max(len(old) - 1, 0))
        # The row of zeros has the same id everywhere.
        found: Array = np.where(ids == ZEROS, ZEROS, new[places] if len(new) else ZEROS)
        return found

    return new_ids
