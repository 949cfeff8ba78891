"""The item of the lowest priority, or of the highest."""

from __future__ import annotations

import heapq

import numpy as np

from acmelike.types import Array


class HeapSelector:
    """Takes the lowest priority, or with `is_max` the highest.

    Of equal ones, it takes the slot that has longest been neither inserted nor updated;
    an update to the same priority counts.

    Attributes:
      slot_bytes: about what a slot takes in here, while no update of it is kept.
    """

    # Measured: a tuple with its two numbers, and the entries of list and dictionary.
    slot_bytes = 210

    def __init__(self, max_size: int, *, is_max: bool):
        self._sign = -1.0 if is_max else 1.0
        # What is no longer so stays in the heap until it comes to its top.
        self._heap: list[tuple[float, int, int]] = []
        self._ticks: dict[int, int] = {}
        self._now = 0

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        for slot, priority in zip(slots.tolist(), priorities.tolist(), strict=True):
            self._now += 1
            self._ticks.pop(slot, None)  # So they stand in the order of their ticks.
            self._ticks[slot] = self._now
            heapq.heappush(self._heap, (self._sign * priority, self._now, slot))
        if len(self._heap) > 4 * len(self._ticks) + 16:
            self._heap = [entry for entry in self._heap if self._is_so(entry)]
            heapq.heapify(self._heap)

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        for slot in slots.tolist():
            del self._ticks[slot]

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""
        self.insert(slots, priorities)

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        return np.repeat(self.first(1), num_items), np.ones(num_items)

    def first(self, num_items: int) -> Array:
        """See `OrderedSelector.first`."""
        found: list[tuple[float, int, int]] = []
        while self._heap and len(found) < num_items:
            entry = heapq.heappop(self._heap)
            if self._is_so(entry):
                found.append(entry)
        for entry in found:
            heapq.heappush(self._heap, entry)
        return np.array([slot for _, _, slot in found], np.int64)

    def insertion_order(self) -> Array:
        """See `OrderedSelector.insertion_order`."""
        return np.fromiter(self._ticks, np.int64, len(self._ticks))

    def _is_so(self, entry: tuple[float, int, int]) -> bool:
        _, tick, slot = entry
        return self._ticks.get(slot) == tick
