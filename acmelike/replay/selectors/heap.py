"""Chooses the item of the lowest priority, or of the highest."""

from __future__ import annotations

import heapq

import numpy as np

from acmelike.types import Array


class HeapSelector:
    """Chooses the lowest priority, or with `is_max` the highest; an `OrderedSelector`.

    Among equals, it chooses the slot whose last insert or update is the longest ago;
    an update to the same priority counts.

    Attributes:
      slot_bytes: approximate memory that a slot takes here, without outdated entries.
    """

    # Measured: a tuple with its two numbers, and the entries of list and dictionary.
    slot_bytes = 210

    def __init__(self, max_size: int, *, is_max: bool):
        self._sign = -1.0 if is_max else 1.0
        # (priority, tick, slot). An outdated entry stays until it comes to the top.
        self._heap: list[tuple[float, int, int]] = []
        # When each slot was last inserted or updated, in the order of these ticks.
        self._ticks: dict[int, int] = {}
        self._now = 0

    def insert(self, slots: Array, priorities: Array) -> None:
        for slot, priority in zip(slots.tolist(), priorities.tolist(), strict=True):
            self._now += 1
            self._ticks.pop(slot, None)  # A new key goes to the end of the dictionary.
            self._ticks[slot] = self._now
            heapq.heappush(self._heap, (self._sign * priority, self._now, slot))
        if len(self._heap) > 4 * len(self._ticks) + 16:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def delete(self, slots: Array) -> None:
        for slot in slots.tolist():
            del self._ticks[slot]

    def update(self, slots: Array, priorities: Array) -> None:
        self.insert(slots, priorities)

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        return np.repeat(self.first(1), num_items), np.ones(num_items)

    def first(self, num_items: int) -> Array:
        found: list[tuple[float, int, int]] = []
        while self._heap and len(found) < num_items:
            entry = heapq.heappop(self._heap)
            if self._is_current(entry):
                found.append(entry)
        for entry in found:
            heapq.heappush(self._heap, entry)
        return np.array([slot for _, _, slot in found], np.int64)

    def insertion_order(self) -> Array:
        return np.fromiter(self._ticks, np.int64, len(self._ticks))

    def _is_current(self, entry: tuple[float, int, int]) -> bool:
        _, tick, slot = entry
        return self._ticks.get(slot) == tick
