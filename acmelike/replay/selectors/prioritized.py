"""In proportion to a power of the priority."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.sum_tree import SumTree
from acmelike.replay.selectors.uniform import UniformSelector
from acmelike.types import Array

# The logarithm of the largest weight, at which they are cut: no sum of them overflows.
_LOG_MAX_WEIGHT = 200.0


class PrioritizedSelector:
    """Draws slot i with probability p_i^e / sum_k p_k^e.

    A priority of zero is never drawn, whatever the exponent e, unless all are zero:
    then every slot is drawn alike.

    Attributes:
      slot_bytes: what a slot takes in here.
    """

    def __init__(self, max_size: int, exponent: float):
        self._exponent = exponent
        # The priority whose weight is the largest.
        self._most = 10 ** min(_LOG_MAX_WEIGHT / exponent, 308.0) if exponent else 1.0
        self._tree = SumTree(max_size)
        self._uniform = UniformSelector(max_size)
        self.slot_bytes = self._tree.weight_bytes + self._uniform.slot_bytes

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        self._uniform.insert(slots, priorities)
        self._tree.set(slots, self._weights(priorities))

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        self._uniform.delete(slots)
        self._tree.set(slots, np.zeros(len(slots)))

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""
        self._tree.set(slots, self._weights(priorities))

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        total = self._tree.total
        if total == 0:
            return self._uniform.sample(num_items, rng)
        slots = self._tree.find(rng.random(num_items) * total)
        return slots, self._tree.get(slots) / total

    def _weights(self, priorities: Array) -> Array:
        if self._exponent == 0:
            return (priorities > 0).astype(np.float64)
        weights: Array = np.minimum(priorities, self._most) ** self._exponent
        return weights
