"""A sum tree: draws from millions of weights in logarithmic time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from acmelike.types import Array

# Children of a node. One call of NumPy costs about as much for the 16 children of 256
# nodes as for one child of each, so a flat tree is fast; a wider row would be slower.
_FANOUT = 16
_ONES = np.ones(_FANOUT)
# Up to this many rows, summing all is about as fast as finding, summing and replacing a
# few. (With more than 576 rows, OpenBLAS would start threads.)
_FEW_ROWS = 512
# A row of weights times this gives the prefix sum before each weight.
_PREFIX = np.triu(np.ones((_FANOUT, _FANOUT)), k=1)


class SumTree:
    """Stores weights `[size]`, float64 and initially 0, and searches their prefix sums.

    The weights are in rows of 16. The sums of these rows are the weights of the level
    above, and so on up to a level of one row. Every operation is vectorised over its
    arguments and passes the levels once. A sum is always computed from its row, never
    adjusted by a difference, so rounding errors do not accumulate.

    Attributes:
      weight_bytes: memory that a weight takes, its share of the sums included, rounded
        up.
    """

    weight_bytes = 9

    def __init__(self, size: int):
        # The first level has the weights; the last is one row.
        self._levels: list[Array] = []
        num_rows = size
        while num_rows > 1 or not self._levels:
            num_rows = -(-num_rows // _FANOUT)
            self._levels.append(np.zeros((num_rows, _FANOUT)))
        self._weights = self._levels[0].reshape(-1)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._levels[-1].sum())

    def get(self, indices: Array) -> Array:
        """The weights `[n]` float64 at `indices` `[n]`."""
        return self._weights.take(indices)

    def set(self, indices: Array, weights: Array) -> None:
        """Sets the weights at `indices` `[n]` to `weights` `[n]`, finite and >= 0.

        Where an index is given more than once, its last weight wins.
        """
        self._weights[indices] = weights  # NumPy assigns in order: the last one wins.
        rows = indices
        for level, above in pairwise(self._levels):
            sums = above.reshape(-1)
            if len(level) <= _FEW_ROWS:
                level.dot(_ONES, sums[: len(level)])
            else:
                rows = rows // _FANOUT
                sums[rows] = level.take(rows, axis=0).dot(_ONES)

    def find(self, targets: Array) -> Array:
        """For each target `[n]` in [0, total), the index whose interval contains it.

        The interval of index i is `sum(weights[:i]) <= target < sum(weights[:i + 1])`,
        up to rounding. If the total is positive, so is the weight of every index found,
        whatever the rounding errors are.

        Returns:
          `[n]` int64.
        """
        found = np.zeros(len(targets), np.int64)
        first_of_row = np.arange(len(targets)) * _FANOUT
        for level in reversed(self._levels):
            starts = level.take(found, axis=0, mode="clip") @ _PREFIX
            # The child sought is the last that begins at or before the target: the one
            # before the first child that begins after it. Where no child begins after
            # it, `argmin` is 0, and the child before that is -1, the last one.
            begins_before = starts <= targets[:, None]
            child = (begins_before.argmin(axis=1) - 1) % _FANOUT
            targets = targets - starts.take(first_of_row + child)
            found = found * _FANOUT + child
        # A target within a rounding error of a row's end can be found beyond the last
        # positive weight, or beyond the last row. It gets the largest weight instead,
        # which is too rare to bias samples.
        found = np.minimum(found, len(self._weights) - 1)
        has_no_weight = self._weights.take(found) == 0
        if has_no_weight.any():
            found[has_no_weight] = self._weights.argmax()
        return found
