"""Checkpoints of replay: consistent, made while traffic goes on, and whole or none."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acmelike.errors import CheckpointDamaged, ConfigError
from acmelike.replay.config import TableConfig
from acmelike.replay.copying import Copying
from acmelike.replay.saved_table import with_limits
from acmelike.replay.shared import SharedColumn
from acmelike.replay.table import Table
from acmelike.types import Array

logger = logging.getLogger("acmelike")
_FACTS = "facts.json"
_PREFIX = "replay-"
_NAME = re.compile(_PREFIX + r"\d{6}")
_VERSION = 1


class Saving:
    """A checkpoint under way, of everything as it was when this was made.

    Args:
      folder: of checkpoints; this one gets a folder in it when it is complete.
      tables: by name.
      columns: those that tables share, by name.
      facts: what else is to be saved, as JSON has it.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Table],
        columns: Mapping[str, SharedColumn],
        facts: Mapping[str, Any],
    ):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name.removeprefix(_PREFIX)) for path in _paths(folder)]
        self.path = folder / f"{_PREFIX}{max(numbers, default=0) + 1:06}"
        self._aside = folder / f"{self.path.name}.tmp"
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir()
        self._copies: list[Copying] = []
        saved: dict[str, Any] = {}
        for name, table in tables.items():
            saved[name], copies = table.begin_save(self._aside)
            self._copies += copies
        for number, column in enumerate(columns.values()):
            ids, copy = column.begin_save(self._aside / f"rows-{number}.npy")
            np.save(self._aside / f"ids-{number}.npy", ids)
            self._copies.append(copy)
        self._facts = {
            "version": _VERSION,
            "tables": saved,
            "columns": list(columns),
            **facts,
        }
        self._num_done = 0

    def part(self, num_bytes: int) -> bool:
        """Copies some more; returns whether anything is left."""
        if self._num_done < len(self._copies):
            self._num_done += not self._copies[self._num_done].part(num_bytes)
        return self._num_done < len(self._copies)

    def finish(self, num_keep: int) -> Path:
        """Writes it to the disk, gives it its name, and removes the oldest."""
        for copy in self._copies:
            copy.close()
        files = {path.name: _checksum(path) for path in sorted(self._aside.iterdir())}
        text = json.dumps(self._facts | {"files": files})
        facts = self._aside / _FACTS
        facts.write_text(json.dumps({"checksum": _crc(text), "facts": text}))
        for path in (*self._aside.iterdir(), self._aside):
            _sync(path)
        self._aside.rename(self.path)
        _sync(self.path.parent)
        for path in _paths(self.path.parent)[:-num_keep]:
            shutil.rmtree(path)
        return self.path


class Saved:
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
        try:
            outer = json.loads((path / _FACTS).read_text())
            if _crc(outer["facts"]) != outer["checksum"]:
                raise CheckpointDamaged(f"{path}: {_FACTS} is damaged")
            self.facts: dict[str, Any] = json.loads(outer["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointDamaged(f"{path}: {_FACTS} cannot be read") from error
        if self.facts["version"] != _VERSION:
            raise CheckpointDamaged(
                f"{path}: it is of version {self.facts['version']}, not {_VERSION}"
            )
        for name, checksum in self.facts["files"].items():
            if not (path / name).is_file() or _checksum(path / name) != checksum:
                raise CheckpointDamaged(f"{path}: {name} is missing or damaged")

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
          ConfigError: there are other tables or columns than were saved.
        """
        for what, saved, present in (
            ("tables", list(self.facts["tables"]), list(tables)),
            ("columns", self.facts["columns"], list(columns)),
        ):
            if sorted(saved) != sorted(present):
                raise ConfigError(
                    f"{self.path}: expected {what} {sorted(present)}, "
                    f"got {sorted(saved)}"
                )
        ids: dict[str, Callable[[Array], Array]] = {}
        appended: list[tuple[SharedColumn, Array]] = []
        for number, name in enumerate(self.facts["columns"]):
            rows = np.load(self.path / f"rows-{number}.npy", mmap_mode="r")
            old = np.load(self.path / f"ids-{number}.npy")
            new = columns[name].append(rows)
            ids[name] = _translation(old, new)
            appended.append((columns[name], new))
        for name, table in tables.items():
            table.load(self.facts["tables"][name], self.path, ids)
        for column, new in appended:
            column.release(new)  # Tables hold theirs; nobody needs the others.


def newest_checkpoint(folder: Path) -> Saved | None:
    """The newest that is whole, or None; one that is damaged is named in the log."""
    for path in reversed(_paths(folder)):
        try:
            return Saved(path)
        except CheckpointDamaged as error:
            logger.warning("%s; the one before it is used, if there is one", error)
    return None


def _paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first; what else is there is not ours."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _translation(old: Array, new: Array) -> Callable[[Array], Array]:
    def translate(ids: Array) -> Array:
        # Zeros are the same everywhere.
        places = np.searchsorted(old, ids).clip(max=max(len(old) - 1, 0))
        found: Array = np.where(ids == 0, 0, new[places] if len(new) else 0)
        return found

    return translate


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
