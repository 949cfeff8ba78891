"""In proportion to a power of the priority."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.uniform import UniformSelector
from acmelike.replay.sum_tree import SumTree
from acmelike.types import Array

# Weights are cut here, so that no sum of them overflows.
_MAX_WEIGHT = 1e200


class PrioritizedSelector:
    """Draws slot i with probability p_i^e / sum_k p_k^e.

    A priority of zero is never drawn, whatever the exponent e, unless all are zero:
    then every slot is drawn alike.

    Attributes:
      slot_bytes: what a slot takes in here.
    """

    def __init__(self, max_size: int, exponent: float):
        self._exponent = exponent
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
        with np.errstate(over="ignore"):
            weights = np.minimum(priorities**self._exponent, _MAX_WEIGHT)
        return np.where(priorities > 0, weights, 0.0)
