"""Snapshots: arrays are written to files as they were at one moment, while they change.

A snapshot is copied in parts, between the calls of replay. Before a caller overwrites a
row that was not copied yet, it copies this row first (copy on write).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from acmelike.types import Array

# Reads the array that was saved under a name.
Arrays: TypeAlias = Callable[[str], Array]
# To copy a smaller row takes as long as to copy a row of this many bytes.
_MIN_ROW_BYTES = 16
_ZEROS = bytes(1 << 20)
_BLOCK = 256  # Rows of a block; `RowSubset` counts the rows before each block once.


class RowSubset:
    """A fixed subset of the rows of an array; takes one byte for each row.

    Args:
      mask: `[N]` bool, which rows are in the subset. It is copied.

    Attributes:
      num_rows: number of rows in the subset, n.
      stop: N.
    """

    def __init__(self, mask: Array):
        self.stop = len(mask)
        self._blocks = np.zeros((self.stop // _BLOCK + 1, _BLOCK), bool)
        self._flat = self._blocks.reshape(-1)
        self._flat[: self.stop] = mask
        # Adds eight bytes at a time. A block has 32 words, so no byte overflows.
        counts = self._blocks.view(np.uint64).sum(axis=1)
        counts = counts.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
        self._num_before = np.cumsum(counts) - counts
        self.num_rows = int(counts.sum())

    def rows(self, start: int = 0, stop: int | None = None) -> Array:
        """Rows of the subset from `start` to `stop`, in ascending order."""
        return np.flatnonzero(self._flat[start:stop]) + start

    def contains(self, rows: Array) -> Array:
        """Which of rows `[m]` are in the subset, `[m]` bool."""
        found: Array = self._flat.take(rows, mode="clip") & (rows < self.stop)
        return found

    def positions(self, rows: Array) -> Array:
        """The positions `[m]` in the subset of rows `[m]`, all of which are in it."""
        block, rest = np.divmod(rows, _BLOCK)
        is_before = np.arange(_BLOCK) < rest[:, None]
        in_block = np.count_nonzero(self._blocks[block] & is_before, axis=1)
        found: Array = self._num_before[block] + in_block
        return found


class ArraySnapshot:
    """Copies a subset of an array's rows to a file, in parts.

    The file gets the rows as they were when the snapshot was made, because
    `before_overwriting` has to be called before any row is changed.

    Args:
      source: `[N, ...]`.
      subset: n of its rows.
      path: of the `.npy` file, which gets `[n, ...]`.

    Raises:
      OSError: the disk has no space for all of it.
    """

    def __init__(self, source: Array, subset: RowSubset, path: Path):
        self._source, self._subset = source, subset
        self._is_copied = np.zeros(subset.stop, bool)
        self._next_row, self._num_remaining = 0, subset.num_rows
        shape = (subset.num_rows, *source.shape[1:])
        self._file = _new_file(path, source.dtype, shape)

    def before_overwriting(self, rows: Array) -> None:
        """Copies those of rows `[m]` that were not copied yet; rows may repeat."""
        if not self._num_remaining:
            return
        rows = np.unique(rows[self._subset.contains(rows)])
        rows = rows[~self._is_copied[rows]]
        self._copy(rows, self._subset.positions(rows))

    def copy_part(self, num_bytes: int) -> bool:
        """Copies up to `num_bytes` more; returns whether rows remain."""
        if not self._num_remaining:
            return False
        row_bytes = max(_MIN_ROW_BYTES, self._source[0].nbytes)
        first = self._next_row
        self._next_row += max(1, num_bytes // row_bytes)
        rows = self._subset.rows(first, min(self._next_row, self._subset.stop))
        if len(rows):
            positions = np.arange(len(rows)) + self._subset.positions(rows[:1])
            remains = ~self._is_copied[rows]
            self._copy(rows[remains], positions[remains])
        return self._num_remaining > 0

    def close(self) -> None:
        """Drops all references, whether everything was copied or not.

        It neither syncs nor flushes the file: `flush` would wait for the disk, and no
        other thread would run meanwhile.
        """
        self._num_remaining = 0
        self._source = self._is_copied = self._file = np.empty(0)

    def _copy(self, rows: Array, positions: Array) -> None:
        self._file[positions] = self._source[rows]
        self._is_copied[rows] = True
        self._num_remaining -= len(rows)


class Snapshot:
    """Makes the array snapshots of one checkpoint, each in a file of its name.

    Args:
      folder: where the files are made.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._arrays: list[ArraySnapshot] = []
        self._deferred: list[tuple[Path, Callable[[], Array]]] = []
        self._num_done = 0

    def add(self, name: str, source: Array, subset: RowSubset) -> ArraySnapshot:
        """Adds a subset of an array's rows."""
        array = ArraySnapshot(source, subset, self._folder / f"{name}.npy")
        self._arrays.append(array)
        return array

    def add_deferred(self, name: str, make: Callable[[], Array]) -> None:
        """Adds the array that `make` returns; `finish` calls it outside any lock."""
        self._deferred.append((self._folder / f"{name}.npy", make))

    def copy_part(self, num_bytes: int) -> bool:
        """Copies up to `num_bytes` more; returns whether anything remains."""
        if self._num_done < len(self._arrays):
            self._num_done += not self._arrays[self._num_done].copy_part(num_bytes)
        return self._num_done < len(self._arrays)

    def finish(self) -> None:
        """Writes the deferred arrays; all others have to be copied already."""
        self.close()
        for path, make in self._deferred:
            np.save(path, make())

    def close(self) -> None:
        """Stops copying."""
        for array in self._arrays:
            array.close()


def _new_file(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Array:
    """Makes a `.npy` file and maps it as an array."""
    if not math.prod(shape):  # An empty file cannot be mapped.
        empty = np.empty(shape, dtype)
        np.save(path, empty)
        return empty
    mapped = np.lib.format.open_memmap(path, "w+", dtype, shape)
    # The new file has no blocks on the disk. On a full disk, a write through the map
    # would kill the process (SIGBUS), so the space is allocated first.
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, mapped.offset + mapped.nbytes)
        else:
            file.seek(mapped.offset)
            for start in range(0, mapped.nbytes, len(_ZEROS)):
                file.write(_ZEROS[: mapped.nbytes - start])
    return mapped
