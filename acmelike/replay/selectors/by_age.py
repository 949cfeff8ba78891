"""Chooses the oldest item, or the youngest."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.types import Array

_GAP = 0


class _AgeSelector:
    """Holds slots in the order of their insertion; an `OrderedSelector`.

    They are in a ring buffer, in which deleted slots leave gaps. When the ring is full,
    the gaps are closed. So every operation is vectorised over slots, and the cost of an
    insert does not depend on how many are held.

    Attributes:
      slot_bytes: memory that a slot takes here.
    """

    _takes_youngest: ClassVar[bool]

    def __init__(self, max_size: int):
        dtype = index_dtype(max_size)
        # Slots plus one: a page of zeros takes no memory until it is written.
        self._ring = np.zeros(2 * max_size, dtype)
        self._place = np.zeros(max_size, dtype)
        # Head and tail only grow; modulo the length, they are places in the ring.
        self._head = self._tail = self._num_held = 0
        self.slot_bytes = 2 * self._ring.itemsize + self._place.itemsize

    def insert(self, slots: Array, priorities: Array) -> None:
        if self._tail + len(slots) - self._head > len(self._ring):
            self._close_gaps()
        places = np.arange(self._tail, self._tail + len(slots)) % len(self._ring)
        self._ring[places], self._place[slots] = slots + 1, places
        self._tail += len(slots)
        self._num_held += len(slots)

    def delete(self, slots: Array) -> None:
        self._ring[self._place[slots]] = _GAP
        self._num_held -= len(slots)
        if not self._num_held:
            self._head = self._tail
            return
        # Gaps at either end are dropped at once.
        self._head = int(self._find_places(1, youngest_first=False)[0])
        self._tail = int(self._find_places(1, youngest_first=True)[0]) + 1

    def update(self, slots: Array, priorities: Array) -> None:
        pass

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        return np.repeat(self.first(1), num_items), np.ones(num_items)

    def first(self, num_items: int) -> Array:
        return self._find(num_items, youngest_first=self._takes_youngest)

    def insertion_order(self) -> Array:
        first = self._head % len(self._ring)
        stop = first + self._tail - self._head
        parts = self._ring[first:stop], self._ring[: max(0, stop - len(self._ring))]
        slots = lazy_zeros((stop - first,), self._ring.dtype)
        # A gap, which is 0, becomes -1.
        np.subtract(parts[0], 1, out=slots[: len(parts[0])])
        np.subtract(parts[1], 1, out=slots[len(parts[0]) :])
        return slots

    def _find(self, num_items: int, *, youngest_first: bool) -> Array:
        places = self._find_places(num_items, youngest_first=youngest_first)
        slots: Array = self._ring[places % len(self._ring)].astype(np.int64) - 1
        return slots

    def _find_places(self, num_items: int, *, youngest_first: bool) -> Array:
        """Places, before the modulo, of the first `num_items` held from one end."""
        width = num_items
        while True:
            if youngest_first:
                first = max(self._tail - width, self._head)
                places = np.arange(first, self._tail)[::-1]
            else:
                places = np.arange(self._head, min(self._head + width, self._tail))
            held = places[self._ring[places % len(self._ring)] != _GAP]
            if len(held) >= num_items or len(places) == self._tail - self._head:
                found: Array = held[:num_items]
                return found
            width *= 4

    def _close_gaps(self) -> None:
        slots = self._find(len(self._ring), youngest_first=False)
        self._ring[:] = _GAP
        self._head = self._tail = self._num_held = 0
        self.insert(slots, np.empty(0))


class FifoSelector(_AgeSelector):
    """Chooses the oldest slot."""

    _takes_youngest = False


class LifoSelector(_AgeSelector):
    """Chooses the youngest slot."""

    _takes_youngest = True
