"""Some of the rows of an array, and which place each has among them."""

from __future__ import annotations

import numpy as np

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
