"""Writes checkpoints while replay is used; a checkpoint is complete or does not exist.

A checkpoint is started, copied in parts, and finished. Its files are made in a folder
beside its path, synced, and renamed into place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acmelike.replay.checkpoints.folder import (
    checkpoint_path,
    last_number,
    outdated_checkpoints,
    sync,
    write_metadata,
)
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.storage.snapshot import Snapshot
from acmelike.replay.tables.table import Table


class CheckpointWriter:
    """Writes one checkpoint, of everything as it is when the writer is made.

    Args:
      path: of the complete checkpoint.
      tables: by name.
      columns: shared columns, by name.
      metadata: other values to save, as JSON.

    Raises:
      OSError: it cannot be written, for example because the disk is full. Its files
        were removed.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, Table],
        columns: Mapping[str, SharedColumn],
        metadata: Mapping[str, Any],
    ):
        self._path, self._temporary = path, path.with_name(f"{path.name}.tmp")
        self._snapshot = Snapshot(self._temporary)
        with self._discard_on_error():
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary.mkdir(parents=True)
            # The name of a table may have any characters, so files have numbers.
            self._metadata = {
                **metadata,
                "tables": {
                    name: table.add_to_snapshot(self._snapshot, f"table-{number}")
                    for number, (name, table) in enumerate(tables.items())
                },
                "columns": {
                    name: column.add_to_snapshot(self._snapshot, f"column-{number}")
                    for number, (name, column) in enumerate(columns.items())
                },
            }

    def copy_part(self, num_bytes: int) -> bool:
        """Copies up to `num_bytes` more; returns whether anything remains."""
        return self._snapshot.copy_part(num_bytes)

    def finish(self, num_keep: int) -> Path:
        """Writes everything to the disk, and removes outdated checkpoints."""
        with self._discard_on_error():
            self._snapshot.finish()
            write_metadata(self._temporary, self._metadata)
            self._temporary.rename(self._path)
        sync(self._path.parent)
        for path in outdated_checkpoints(self._path.parent, num_keep):
            # A checkpoint that is finished at the same time may remove it too.
            shutil.rmtree(path, ignore_errors=True)
        return self._path

    def discard(self) -> None:
        """Stops copying, and removes the files."""
        self._snapshot.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    @contextmanager
    def _discard_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.discard()
            raise OSError(
                error.errno, f"{self._path} was discarded: {error.strerror or error}"
            ) from error
        except BaseException:
            self.discard()
            raise


class CheckpointManager:
    """Manages one service's checkpoints; starting one discards the one before.

    Only `finish` may run at the same time as other calls.
    """

    def __init__(self) -> None:
        self._last_number = 0
        # By number: writers with parts to copy, and those that wait for `finish`.
        self._copying: dict[int, CheckpointWriter] = {}
        self._copied: dict[int, CheckpointWriter] = {}

    def start(
        self,
        folder: Path,
        tables: Mapping[str, Table],
        columns: Mapping[str, SharedColumn],
        metadata: Mapping[str, Any],
    ) -> int:
        """Starts a checkpoint, and discards any that is not being finished.

        Returns:
          Its number.
        """
        for writers in (self._copying, self._copied):
            for number in list(writers):
                writer = writers.pop(number, None)
                if writer is not None:  # `finish` was not called meanwhile.
                    writer.discard()
        # The previous checkpoint may not have been renamed yet.
        self._last_number = max(self._last_number, last_number(folder)) + 1
        path = checkpoint_path(folder, self._last_number)
        self._copying[self._last_number] = CheckpointWriter(
            path, tables, columns, metadata
        )
        return self._last_number

    def copy_part(self, number: int, num_bytes: int) -> bool:
        """Copies up to `num_bytes` more; returns whether anything remains.

        Raises:
          ValueError: this checkpoint was not started, or was finished or discarded.
        """
        if number in self._copied:
            return False
        if number not in self._copying:
            raise _unknown_checkpoint(number)
        remains = self._copying[number].copy_part(num_bytes)
        if not remains:
            self._copied[number] = self._copying.pop(number)
        return remains

    def finish(self, number: int, num_keep: int) -> Path:
        """Completes a checkpoint whose parts are all copied.

        Raises:
          ValueError: parts remain, or this checkpoint was not started, or was finished
            or discarded, or `num_keep` is below 1.
        """
        check_num_keep(num_keep)
        if number in self._copying:
            raise ValueError(
                f"checkpoint {number}: expected all of it to be copied, but parts "
                "remain"
            )
        writer = self._copied.pop(number, None)
        if writer is None:
            raise _unknown_checkpoint(number)
        return writer.finish(num_keep)


def check_num_keep(num_keep: int) -> None:
    """Refuses a `num_keep` that would keep no checkpoint.

    Raises:
      ValueError: `num_keep` is below 1.
    """
    if num_keep < 1:
        raise ValueError(f"checkpoints: expected num_keep >= 1, got {num_keep}")


def _unknown_checkpoint(number: int) -> ValueError:
    return ValueError(
        f"checkpoint {number} is not being written: it was never started, or was "
        "finished, or was discarded because another was started"
    )
