"""Draws every item with the same probability."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.types import Array


class UniformSelector:
    """Draws every slot with the same probability; a `Selector`.

    Attributes:
      slot_bytes: memory that a slot takes here.
    """

    def __init__(self, max_size: int):
        # The slots held, without gaps and in no particular order.
        self._held = np.empty(max_size, index_dtype(max_size))
        # The position of each slot in `_held`, plus one; zero if it is not held.
        self._position = np.zeros(max_size, index_dtype(max_size))
        self._size = 0
        self.slot_bytes = self._held.itemsize + self._position.itemsize

    def insert(self, slots: Array, priorities: Array) -> None:
        size = self._size + len(slots)
        self._held[self._size : size] = slots
        self._position[slots] = np.arange(self._size, size) + 1
        self._size = size

    def delete(self, slots: Array) -> None:
        gaps = self._position[slots] - 1
        self._position[slots] = 0
        size = self._size - len(slots)
        # The slots at the end that are still held fill the gaps before it.
        tail = self._held[size : self._size]
        movers = tail[self._position[tail] > 0]
        gaps = gaps[gaps < size]
        self._held[gaps] = movers
        self._position[movers] = gaps + 1
        self._size = size

    def update(self, slots: Array, priorities: Array) -> None:
        pass

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        slots = self._held.take(rng.integers(self._size, size=num_items))
        return slots.astype(np.int64), np.full(num_items, 1 / self._size)
