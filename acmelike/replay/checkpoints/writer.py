"""Checkpoints of replay: consistent, made while traffic goes on, and whole or none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acmelike.replay.checkpoints.folder import (
    checkpoint_path,
    last_number,
    superseded,
    sync,
    write_facts,
)
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.storage.snapshot import Snapshot
from acmelike.replay.tables.table import Table


class CheckpointWriter:
    """A checkpoint under way, of everything as it was when this was made.

    Args:
      path: of the folder that it gets when it is complete.
      tables: by name.
      columns: those that tables share, by name.
      facts: what else is to be saved, as JSON has it.

    Raises:
      OSError: it cannot be written, for example as the disk is full; nothing of it is
        left there.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, Table],
        columns: Mapping[str, SharedColumn],
        facts: Mapping[str, Any],
    ):
        self._path, self._aside = path, path.with_name(f"{path.name}.tmp")
        self._copies = Snapshot(self._aside)
        with self._whole_or_none():
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside.mkdir(parents=True)
            # Names are for people and may be anything; files have numbers.
            self._facts = {
                **facts,
                "tables": {
                    name: table.begin_save(self._copies, f"table-{number}")
                    for number, (name, table) in enumerate(tables.items())
                },
                "columns": {
                    name: column.begin_save(self._copies, f"column-{number}")
                    for number, (name, column) in enumerate(columns.items())
                },
            }

    def part(self, num_bytes: int) -> bool:
        """Snapshot some more; returns whether anything is left."""
        return self._copies.part(num_bytes)

    def finish(self, num_keep: int) -> Path:
        """Writes it to the disk, gives it its name, and removes the oldest."""
        with self._whole_or_none():
            self._copies.finish()
            write_facts(self._aside, self._facts)
            self._aside.rename(self._path)
        sync(self._path.parent)
        for path in superseded(self._path.parent, num_keep):
            shutil.rmtree(path)
        return self._path

    def give_up(self) -> None:
        """Leaves nothing of it."""
        self._copies.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    @contextmanager
    def _whole_or_none(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.give_up()
            raise OSError(
                error.errno, f"{self._path} was given up: {error.strerror}"
            ) from error
        except BaseException:
            self.give_up()
            raise


class CheckpointManager:
    """The checkpoints that are made of one service; one begun ends the one before.

    What is called while traffic goes on is `finish` alone.
    """

    def __init__(self) -> None:
        self._last = 0
        self._under_way: dict[int, CheckpointWriter] = {}
        self._copied: dict[int, CheckpointWriter] = {}

    def begin(
        self,
        folder: Path,
        tables: Mapping[str, Table],
        columns: Mapping[str, SharedColumn],
        facts: Mapping[str, Any],
    ) -> int:
        """Begins one, and gives up any that its caller has not begun to finish.

        Returns:
          Its number.
        """
        for savings in (self._under_way, self._copied):
            for number in list(savings):
                saving = savings.pop(number, None)
                if saving is not None:  # Nobody has begun to finish it meanwhile.
                    saving.give_up()
        # The one before may not have its name yet.
        self._last = max(self._last, last_number(folder)) + 1
        path = checkpoint_path(folder, self._last)
        self._under_way[self._last] = CheckpointWriter(path, tables, columns, facts)
        return self._last

    def part(self, number: int, num_bytes: int) -> bool:
        """Snapshot some more; returns whether anything is left.

        Raises:
          ValueError: no such checkpoint is under way.
        """
        if number in self._copied:
            return False
        if number not in self._under_way:
            raise _not_under_way(number)
        is_left = self._under_way[number].part(num_bytes)
        if not is_left:
            self._copied[number] = self._under_way.pop(number)
        return is_left

    def finish(self, number: int, num_keep: int) -> Path:
        """Completes one of which all parts are copied.

        Raises:
          ValueError: it is not so, or no such checkpoint is under way, or `num_keep` is
            below 1.
        """
        check_num_keep(num_keep)
        if number in self._under_way:
            raise ValueError(
                f"checkpoint {number}: expected all of it to be copied, but parts are "
                "left"
            )
        saving = self._copied.pop(number, None)
        if saving is None:
            raise _not_under_way(number)
        return saving.finish(num_keep)


def check_num_keep(num_keep: int) -> None:
    """Refuses to keep none.

    Raises:
      ValueError: in one line.
    """
    if num_keep < 1:
        raise ValueError(f"checkpoints: expected num_keep >= 1, got {num_keep}")


def _not_under_way(number: int) -> ValueError:
    return ValueError(
        f"checkpoint {number} is not under way: it was never begun, or is finished, or "
        "was given up as another was begun"
    )
