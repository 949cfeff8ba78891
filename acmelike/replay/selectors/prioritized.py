"""Draws items in proportion to a power of their priority."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.sum_tree import SumTree
from acmelike.replay.selectors.uniform import UniformSelector
from acmelike.types import Array

# Decimal logarithm of the largest weight. Weights are cut off there, so that no sum of
# them overflows. With a small exponent no weight is larger.
_LOG_MAX_WEIGHT = 200.0
_LOG_MAX_PRIORITY = 308.25


class PrioritizedSelector:
    """Draws slot i with probability p_i^e / sum_k p_k^e; a `Selector`.

    A slot of priority zero is never drawn, whatever the exponent e, unless all
    priorities are zero: then all slots have the same probability.

    Attributes:
      slot_bytes: memory that a slot takes here.
    """

    def __init__(self, max_size: int, exponent: float):
        self._exponent = exponent
        # The priority that has the largest weight, or None if none can be too large.
        self._max_priority: float | None = None
        if exponent * _LOG_MAX_PRIORITY > _LOG_MAX_WEIGHT:
            self._max_priority = 10 ** (_LOG_MAX_WEIGHT / exponent)
        self._tree = SumTree(max_size)
        self._uniform = UniformSelector(max_size)
        self.slot_bytes = self._tree.weight_bytes + self._uniform.slot_bytes

    def insert(self, slots: Array, priorities: Array) -> None:
        self._uniform.insert(slots, priorities)
        self._tree.set(slots, self._weights(priorities))

    def delete(self, slots: Array) -> None:
        self._uniform.delete(slots)
        self._tree.set(slots, np.zeros(len(slots)))

    def update(self, slots: Array, priorities: Array) -> None:
        self._tree.set(slots, self._weights(priorities))

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        total = self._tree.total
        if total == 0:
            return self._uniform.sample(num_items, rng)
        slots = self._tree.find(rng.random(num_items) * total)
        return slots, self._tree.get(slots) / total

    def _weights(self, priorities: Array) -> Array:
        if self._exponent == 0:
            return (priorities > 0).astype(np.float64)
        if self._max_priority is not None:
            priorities = np.minimum(priorities, self._max_priority)
        weights: Array = priorities**self._exponent
        return weights
