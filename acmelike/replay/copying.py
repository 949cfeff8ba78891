"""Copies of arrays as they were at one moment, made while they change."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acmelike.types import Array


class Copying:
    """Copies rows of an array into a file, in parts; nothing else has to stop.

    Whoever overwrites a row says so first, and it is copied at once if it was not yet.
    So the file gets what was there when this was made.

    Args:
      source: `[N, ...]`.
      rows: `[n]` which of them, in ascending order.
      path: of the `.npy` file, which gets `[n, ...]`.
    """

    def __init__(self, source: Array, rows: Array, path: Path):
        self._source, self._rows, self.path = source, rows, path
        self._is_copied = np.zeros(len(rows), bool)
        self._num_passed, self._num_left = 0, len(rows)
        shape = (len(rows), *source.shape[1:])
        self._file: Array = (
            np.lib.format.open_memmap(path, "w+", source.dtype, shape)
            if np.prod(shape)
            else np.empty(shape, source.dtype)  # No file can be mapped that is empty.
        )

    def before_overwriting(self, rows: Array) -> None:
        """Copies those of rows `[m]` that were not copied yet."""
        if not self._num_left:
            return
        places = np.searchsorted(self._rows, rows).clip(max=len(self._rows) - 1)
        is_wanted = (self._rows[places] == rows) & ~self._is_copied[places]
        self._copy(places[is_wanted])

    def part(self, num_bytes: int) -> bool:
        """Copies up to so many bytes; returns whether anything is left."""
        row_bytes = max(1, self._source[0].nbytes)
        last = self._num_passed + max(1, num_bytes // row_bytes)
        places = np.arange(self._num_passed, min(last, len(self._rows)))
        self._copy(places[~self._is_copied[places]])
        self._num_passed += len(places)
        return self._num_left > 0

    def close(self) -> None:
        """Lets go of everything, as all rows are copied; the file has yet to be synced.

        No `flush`: while it waits for the disk it lets no other thread run.
        """
        if not isinstance(self._file, np.memmap):
            np.save(self.path, self._file)
        self._source = self._rows = self._is_copied = self._file = np.empty(0)

    def _copy(self, places: Array) -> None:
        self._file[places] = self._source[self._rows[places]]
        self._is_copied[places] = True
        self._num_left -= len(places)
