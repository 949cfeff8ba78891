"""Checkpoints that were found, and what is restored of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from acmelike.errors import CheckpointDamaged, ConfigError
from acmelike.replay.checkpoints.folder import checkpoint_paths, read_facts
from acmelike.replay.config import TableConfig, with_limits
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.tables.table import Table
from acmelike.types import Array

logger = logging.getLogger("acmelike")


class CheckpointReader:
    """A checkpoint that was found whole.

    Args:
      path: of its folder.

    Attributes:
      facts: what was saved besides tables and columns.

    Raises:
      CheckpointDamaged: a file is missing, cut off or changed.
    """

    def __init__(self, path: Path):
        self.path = path
        self.facts = read_facts(path)

    def with_limits(self, tables: Sequence[TableConfig]) -> list[TableConfig]:
        """The tables with the limits that were saved, where they were."""
        saved = self.facts["tables"]
        return [
            with_limits(table, saved[table.name]["limits"])
            if table.name in saved
            else table
            for table in tables
        ]

    def load(
        self, tables: Mapping[str, Table], columns: Mapping[str, SharedColumn]
    ) -> None:
        """Fills tables and columns that are new.

        Raises:
          ConfigError: other tables or columns than these were saved, or of others.
        """
        self._check(tables, columns)
        ids: dict[str, Callable[[Array], Array]] = {}
        appended: list[tuple[SharedColumn, Array]] = []
        for number, name in enumerate(self.facts["columns"]):
            saved = partial(self._array, f"column-{number}")
            new = columns[name].append(saved("rows"))
            ids[name] = _translation(saved("ids"), new)
            appended.append((columns[name], new))
        for number, (name, facts) in enumerate(self.facts["tables"].items()):
            tables[name].load(facts, partial(self._array, f"table-{number}"), ids)
        for column, new in appended:
            column.release(new)  # Tables hold theirs; nobody needs the others.

    def _array(self, prefix: str, name: str) -> Array:
        return np.asarray(np.load(self.path / f"{prefix}-{name}.npy", mmap_mode="r"))

    def _check(
        self, tables: Mapping[str, Table], columns: Mapping[str, SharedColumn]
    ) -> None:
        saved_tables, saved_columns = self.facts["tables"], self.facts["columns"]
        self._check_equal("", "tables", sorted(tables), sorted(saved_tables))
        for name, table in tables.items():
            leaves, saved = table.leaves, saved_tables[name]["leaves"]
            where = f"table '{name}': "
            self._check_equal(where, "leaves", list(leaves), list(saved))
            for path, leaf in leaves.items():
                self._check_equal(where, f"{path} to be", leaf, saved[path])
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
    """The newest that is whole; one that is damaged is named in the log.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      CheckpointDamaged: there are some, but none is whole.
    """
    damages: list[str] = []
    for path in reversed(checkpoint_paths(folder)):
        try:
            return CheckpointReader(path)
        except CheckpointDamaged as error:
            logger.warning("%s; the one before it is used, if there is one", error)
            damages.append(str(error))
    if damages:
        raise CheckpointDamaged(
            f"{folder}: none of its checkpoints is whole: {'; '.join(damages)}"
        )
    return None


def _translation(old: Array, new: Array) -> Callable[[Array], Array]:
    def translate(ids: Array) -> Array:
        # Zeros are the same everywhere.
        places = np.searchsorted(old, ids).clip(max=max(len(old) - 1, 0))
        found: Array = np.where(ids == 0, 0, new[places] if len(new) else 0)
        return found

    return translate
