"""A binary tree of sums, to draw from millions of weights in logarithmic time."""

from __future__ import annotations

import numpy as np

from acmelike.types import Array


class SumTree:
    """Weights `[size]`, float64 and initially zero, whose prefix sums can be searched.

    The tree is one array: node i has the children 2i and 2i + 1, node 1 is the root,
    and the leaves are its second half. Every operation goes through it level by level,
    for all of its arguments at once. A parent is always computed from its children,
    never adjusted by a difference, so rounding errors do not add up over time.
    """

    def __init__(self, size: int):
        self._depth = max(1, (size - 1).bit_length())
        self._first_leaf = 1 << self._depth
        self._nodes = np.zeros(2 * self._first_leaf)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._nodes[1])

    def get(self, indices: Array) -> Array:
        """The weights `[n]` float64 at `indices` `[n]`."""
        return self._nodes.take(indices + self._first_leaf)

    def set(self, indices: Array, weights: Array) -> None:
        """Sets the weights at `indices` `[n]` to `weights` `[n]`, finite and >= 0.

        Where an index is given more than once, its last weight wins.
        """
        # unique finds first occurrences: in reverse, these are the last ones.
        indices, positions = np.unique(indices[::-1], return_index=True)
        nodes = indices + self._first_leaf
        self._nodes[nodes] = weights[::-1][positions]
        for _ in range(self._depth):
            # Siblings meet in one parent, and write the same sum to it.
            nodes = nodes >> 1
            left = 2 * nodes
            self._nodes[nodes] = self._nodes.take(left) + self._nodes.take(left + 1)

    def find(self, targets: Array) -> Array:
        """For each target `[n]` in [0, total), the index whose share of it that is.

        This is index i where `sum(weights[:i]) <= target < sum(weights[:i + 1])`, up to
        rounding. If the total is positive, so is the weight of every index found,
        however the rounding falls. Returns `[n]` int64.
        """
        targets = targets.copy()
        nodes = np.ones(len(targets), np.int64)
        for _ in range(self._depth):
            nodes *= 2
            left = self._nodes.take(nodes)
            goes_right = targets >= left
            left *= goes_right
            targets -= left
            nodes += goes_right
        # A target within a rounding error of a subtree's end can come out beyond its
        # last positive weight. That is too rare for the substitute to bias anything.
        lost = self._nodes.take(nodes) == 0
        if lost.any():
            nodes[lost] = self._first_leaf + self._nodes[self._first_leaf :].argmax()
        return nodes - self._first_leaf
