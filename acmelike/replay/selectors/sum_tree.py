"""A tree of sums, to draw from millions of weights in logarithmic time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from acmelike.types import Array

# Children of a node. A call into NumPy costs about as much for the 16 children of 256
# nodes as for one of each, so a flat tree is a fast one; a wider row would be slower.
_FANOUT = 16
_ONES = np.ones(_FANOUT)
# Up to so many rows, all are summed about as fast as a few are found, summed and put in
# place. (OpenBLAS would sum more than 576 by threads.)
_FEW_ROWS = 512
# A row of weights times this is where the share of each begins.
_BEFORE = np.triu(np.ones((_FANOUT, _FANOUT)), k=1)


class SumTree:
    """Weights `[size]`, float64 and initially zero, whose prefix sums can be searched.

    The weights stand in rows of 16; the sums of these rows are the weights of the level
    above, and so on up to a level of one row. Every operation goes through the levels,
    for all of its arguments at once. A sum is always computed from its row, never
    adjusted by a difference, so rounding errors do not add up over time.

    Attributes:
      weight_bytes: what a weight takes, with its part of the sums, rounded up.
    """

    weight_bytes = 9

    def __init__(self, size: int):
        # The first has the weights, the last is one row.
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
        self._weights[indices] = weights  # One after the other: the last one stays.
        rows = indices
        for level, above in pairwise(self._levels):
            sums = above.reshape(-1)
            if len(level) <= _FEW_ROWS:
                level.dot(_ONES, sums[: len(level)])
            else:
                rows = rows // _FANOUT
                sums[rows] = level.take(rows, axis=0).dot(_ONES)

    def find(self, targets: Array) -> Array:
        """For each target `[n]` in [0, total), the index whose share of it that is.

        This is index i where `sum(weights[:i]) <= target < sum(weights[:i + 1])`, up to
        rounding. If the total is positive, so is the weight of every index found,
        however the rounding falls. Returns `[n]` int64.
        """
        found = np.zeros(len(targets), np.int64)
        first_of_row = np.arange(len(targets)) * _FANOUT
        for level in reversed(self._levels):
            starts = level.take(found, axis=0, mode="clip") @ _BEFORE
            # The last that begins at or before the target is the one before the first
            # that does not; where all do, `argmin` is 0, and the one before that is -1.
            begins = starts <= targets[:, None]
            child = (begins.argmin(axis=1) - 1) % _FANOUT
            targets = targets - starts.take(first_of_row + child)
            found = found * _FANOUT + child
        # A target within a rounding error of a row's end can come out beyond its last
        # positive weight, and beyond the last row. That is too rare for the substitute
        # to bias anything.
        found = np.minimum(found, len(self._weights) - 1)
        lost = self._weights.take(found) == 0
        if lost.any():
            found[lost] = self._weights.argmax()
        return found
