"""The oldest item, or the youngest."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.types import Array

_GAP = 0


class _ByAge:
    """The slots held, in the order of their insertion.

    They stand in a ring, in which deleted ones leave gaps; when the ring is full, the
    gaps are closed. So everything is done to many slots at once, and an insertion
    costs the same however many are held.

    Attributes:
      slot_bytes: what a slot takes in here.
    """

    _takes_youngest: ClassVar[bool]

    def __init__(self, max_size: int):
        dtype = index_dtype(max_size)
        # Slots plus one: memory that is zero takes no space before it is used.
        self._ring = np.zeros(2 * max_size, dtype)
        self._place = np.zeros(max_size, dtype)
        # Counted on and on; the place in the ring is the rest by its length.
        self._head = self._tail = self._num_held = 0
        self.slot_bytes = 2 * self._ring.itemsize + self._place.itemsize

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        if self._tail + len(slots) - self._head > len(self._ring):
            self._close_gaps()
        places = np.arange(self._tail, self._tail + len(slots)) % len(self._ring)
        self._ring[places], self._place[slots] = slots + 1, places
        self._tail += len(slots)
        self._num_held += len(slots)

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        self._ring[self._place[slots]] = _GAP
        self._num_held -= len(slots)
        if not self._num_held:
            self._head = self._tail
            return
        # Gaps at either end are given up at once.
        self._head = int(self._count(1, youngest_first=False)[0])
        self._tail = int(self._count(1, youngest_first=True)[0]) + 1

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        return np.repeat(self.first(1), num_items), np.ones(num_items)

    def first(self, num_items: int) -> Array:
        """See `OrderedSelector.first`."""
        return self._slots(num_items, youngest_first=self._takes_youngest)

    def insertion_order(self) -> Array:
        """See `OrderedSelector.insertion_order`."""
        first = self._head % len(self._ring)
        stop = first + self._tail - self._head
        parts = self._ring[first:stop], self._ring[: max(0, stop - len(self._ring))]
        slots = lazy_zeros((stop - first,), self._ring.dtype)
        # A gap, which is 0, comes out below 0.
        np.subtract(parts[0], 1, out=slots[: len(parts[0])])
        np.subtract(parts[1], 1, out=slots[len(parts[0]) :])
        return slots

    def _slots(self, num_items: int, *, youngest_first: bool) -> Array:
        places = self._count(num_items, youngest_first=youngest_first)
        slots: Array = self._ring[places % len(self._ring)].astype(np.int64) - 1
        return slots

    def _count(self, num_items: int, *, youngest_first: bool) -> Array:
        """The counted places of so many that are held, from one end on."""
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
        slots = self._slots(len(self._ring), youngest_first=False)
        self._ring[:] = _GAP
        self._head = self._tail = self._num_held = 0
        self.insert(slots, np.empty(0))


class FifoSelector(_ByAge):
    """Takes the oldest."""

    _takes_youngest = False


class LifoSelector(_ByAge):
    """Takes the youngest."""

    _takes_youngest = True
