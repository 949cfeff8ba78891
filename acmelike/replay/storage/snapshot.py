"""Some of the rows of an array, and which place each has among them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from acmelike.types import Array

_BLOCK = 256  # Rows; those of the blocks before are counted once.


class RowSubset:
    """Rows as they were chosen at one moment; it takes a byte of each and no more.

    Args:
      is_chosen: `[N]` bool.

    Attributes:
      num_rows: n, how many are chosen.
      stop: N.
    """

    def __init__(self, is_chosen: Array):
        self.stop = len(is_chosen)
        self._blocks = np.zeros((self.stop // _BLOCK + 1, _BLOCK), bool)
        self._flat = self._blocks.reshape(-1)
        self._flat[: self.stop] = is_chosen
        # Eight bytes at a time, each of which counts to 32 and no further.
        counts = self._blocks.view(np.uint64).sum(axis=1)
        counts = counts.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
        self._num_before = np.cumsum(counts) - counts
        self.num_rows = int(counts.sum())

    def rows(self, start: int = 0, stop: int | None = None) -> Array:
        """Those from `start` to `stop`, in ascending order."""
        return np.flatnonzero(self._flat[start:stop]) + start

    def has(self, rows: Array) -> Array:
        """Which of rows `[m]` are chosen, `[m]` bool."""
        found: Array = self._flat.take(rows, mode="clip") & (rows < self.stop)
        return found

    def places(self, rows: Array) -> Array:
        """How many chosen ones are before each of rows `[m]`, which are chosen."""
        block, rest = np.divmod(rows, _BLOCK)
        is_before = np.arange(_BLOCK) < rest[:, None]
        in_block = np.count_nonzero(self._blocks[block] & is_before, axis=1)
        found: Array = self._num_before[block] + in_block
        return found


# What was saved under a name.
Arrays: TypeAlias = Callable[[str], Array]
# What a row takes in the time of a copy, however small it is.
_MIN_ROW_BYTES = 16
_ZEROS = bytes(1 << 20)


class ArraySnapshot:
    """Snapshot rows of an array into a file, in parts; nothing else has to stop.

    Whoever overwrites a row says so first, and it is copied at once if it was not yet.
    So the file gets what was there when this was made.

    Args:
      source: `[N, ...]`.
      chosen: n of its rows.
      path: of the `.npy` file, which gets `[n, ...]`.

    Raises:
      OSError: the disk has no space for all of it.
    """

    def __init__(self, source: Array, chosen: RowSubset, path: Path):
        self._source, self._chosen = source, chosen
        self._is_copied = np.zeros(chosen.stop, bool)
        self._num_passed, self._num_left = 0, chosen.num_rows
        shape = (chosen.num_rows, *source.shape[1:])
        self._file = _new_file(path, source.dtype, shape)

    def before_overwriting(self, rows: Array) -> None:
        """Snapshot those of rows `[m]`, some perhaps repeated, that were not copied."""
        if not self._num_left:
            return
        rows = np.unique(rows[self._chosen.has(rows)])
        rows = rows[~self._is_copied[rows]]
        self._copy(rows, self._chosen.places(rows))

    def part(self, num_bytes: int) -> bool:
        """Snapshot up to so many bytes; returns whether anything is left."""
        if not self._num_left:
            return False
        row_bytes = max(_MIN_ROW_BYTES, self._source[0].nbytes)
        first = self._num_passed
        self._num_passed += max(1, num_bytes // row_bytes)
        rows = self._chosen.rows(first, min(self._num_passed, self._chosen.stop))
        if len(rows):
            places = np.arange(len(rows)) + self._chosen.places(rows[:1])
            is_left = ~self._is_copied[rows]
            self._copy(rows[is_left], places[is_left])
        return self._num_left > 0

    def close(self) -> None:
        """Lets go of everything, copied or not; the file has yet to be synced.

        No `flush`: while it waits for the disk it lets no other thread run.
        """
        self._num_left = 0
        self._source = self._is_copied = self._file = np.empty(0)

    def _copy(self, rows: Array, places: Array) -> None:
        self._file[places] = self._source[rows]
        self._is_copied[rows] = True
        self._num_left -= len(rows)


class Snapshot:
    """The arrays of one checkpoint, each in a file of its name.

    Args:
      folder: of the files.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._copyings: list[ArraySnapshot] = []
        self._later: list[tuple[Path, Callable[[], Array]]] = []
        self._num_done = 0

    def begin(self, name: str, source: Array, chosen: RowSubset) -> ArraySnapshot:
        """Begins to copy the chosen rows of an array."""
        copying = ArraySnapshot(source, chosen, self._folder / f"{name}.npy")
        self._copyings.append(copying)
        return copying

    def later(self, name: str, make: Callable[[], Array]) -> None:
        """Saves what a function makes, which is called when nobody waits for it."""
        self._later.append((self._folder / f"{name}.npy", make))

    def part(self, num_bytes: int) -> bool:
        """Snapshot some more; returns whether anything is left."""
        if self._num_done < len(self._copyings):
            self._num_done += not self._copyings[self._num_done].part(num_bytes)
        return self._num_done < len(self._copyings)

    def finish(self) -> None:
        """Writes what was left for later."""
        self.close()
        for path, make in self._later:
            np.save(path, make())

    def close(self) -> None:
        """Snapshot no more."""
        for copying in self._copyings:
            copying.close()


def _new_file(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Array:
    """A `.npy` file as an array to be written into."""
    if not math.prod(shape):  # No file can be mapped that is empty.
        empty = np.empty(shape, dtype)
        np.save(path, empty)
        return empty
    mapped = np.lib.format.open_memmap(path, "w+", dtype, shape)
    # The file is all holes. A write to one through the map, on a disk that is full,
    # would end the process, so space is taken before.
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, mapped.offset + mapped.nbytes)
        else:
            file.seek(mapped.offset)
            for start in range(0, mapped.nbytes, len(_ZEROS)):
                file.write(_ZEROS[: mapped.nbytes - start])
    return mapped
