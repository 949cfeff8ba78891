"""Copies of arrays as they were at one moment, made while they change."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from acmelike.types import Array

# What was saved under a name.
Arrays: TypeAlias = Callable[[str], Array]
_ZEROS = bytes(1 << 20)


class Copying:
    """Copies rows of an array into a file, in parts; nothing else has to stop.

    Whoever overwrites a row says so first, and it is copied at once if it was not yet.
    So the file gets what was there when this was made.

    Args:
      source: `[N, ...]`.
      rows: `[n]` which of them, in ascending order.
      path: of the `.npy` file, which gets `[n, ...]`.

    Raises:
      OSError: the disk has no space for all of it.
    """

    def __init__(self, source: Array, rows: Array, path: Path):
        self._source, self._rows = source, rows
        self._is_copied = np.zeros(len(rows), bool)
        self._num_passed, self._num_left = 0, len(rows)
        self._file = _new_file(path, source.dtype, (len(rows), *source.shape[1:]))

    def before_overwriting(self, rows: Array) -> None:
        """Copies those of rows `[m]`, some perhaps repeated, that were not copied."""
        if not self._num_left:
            return
        places = np.searchsorted(self._rows, rows).clip(max=len(self._rows) - 1)
        is_wanted = (self._rows[places] == rows) & ~self._is_copied[places]
        self._copy(np.unique(places[is_wanted]))

    def part(self, num_bytes: int) -> bool:
        """Copies up to so many bytes; returns whether anything is left."""
        if not self._num_left:
            return False
        row_bytes = max(1, self._source[0].nbytes)
        last = self._num_passed + max(1, num_bytes // row_bytes)
        places = np.arange(self._num_passed, min(last, len(self._rows)))
        self._copy(places[~self._is_copied[places]])
        self._num_passed += len(places)
        return self._num_left > 0

    def close(self) -> None:
        """Lets go of everything, copied or not; the file has yet to be synced.

        No `flush`: while it waits for the disk it lets no other thread run.
        """
        self._num_left = 0
        self._source = self._rows = self._is_copied = self._file = np.empty(0)

    def _copy(self, places: Array) -> None:
        self._file[places] = self._source[self._rows[places]]
        self._is_copied[places] = True
        self._num_left -= len(places)


class Copies:
    """The arrays of one checkpoint, each in a file of its name.

    Args:
      folder: of the files.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._copyings: list[Copying] = []
        self._later: list[tuple[Path, Callable[[], Array]]] = []
        self._num_done = 0

    def begin(self, name: str, source: Array, rows: Array) -> Copying:
        """Begins to copy rows `[n]`, in ascending order, of an array."""
        copying = Copying(source, rows, self._folder / f"{name}.npy")
        self._copyings.append(copying)
        return copying

    def later(self, name: str, make: Callable[[], Array]) -> None:
        """Saves what a function makes, which is called when nobody waits for it."""
        self._later.append((self._folder / f"{name}.npy", make))

    def part(self, num_bytes: int) -> bool:
        """Copies some more; returns whether anything is left."""
        if self._num_done < len(self._copyings):
            self._num_done += not self._copyings[self._num_done].part(num_bytes)
        return self._num_done < len(self._copyings)

    def finish(self) -> None:
        """Writes what was left for later."""
        self.close()
        for path, make in self._later:
            np.save(path, make())

    def close(self) -> None:
        """Copies no more."""
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
