"""Which places of a table hold an item, and the keys of those that do."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.types import Array


class Slots:
    """Hands out slots, and a key for every item that ever has one.

    The key of an item is `turn * num_slots + slot`, where the turn counts the items
    that the slot held before. So nothing has to be looked up, and where the oldest
    always makes way for the newest, keys count the items inserted.

    Args:
      num_slots: how many there are.
      first_turn: of every slot; that of a restored table begins after all that were.

    Attributes:
      slot_bytes: what a slot takes in here.
    """

    def __init__(self, num_slots: int, first_turn: int = 0):
        self._num_slots, self._first_turn = num_slots, first_turn
        # Counted from the first turn on.
        self._turn = np.zeros(num_slots, np.int64)
        self._is_held = np.zeros(num_slots, bool)
        # A stack of slots that were given back; those from `_num_used` on never were
        # taken. Memory that was never touched takes no space.
        self._free = np.empty(num_slots, index_dtype(num_slots))
        self._num_free = self._num_used = 0
        parts = (self._turn, self._is_held, self._free)
        self.slot_bytes: int = sum(part.itemsize for part in parts)

    def take(self, num_items: int) -> Array:
        """Slots `[n]` int64 that hold an item from now on."""
        num_again = min(num_items, self._num_free)
        self._num_free -= num_again
        again = self._free[self._num_free : self._num_free + num_again]
        fresh = np.arange(self._num_used, self._num_used + num_items - num_again)
        self._num_used += len(fresh)
        slots = np.concatenate([again.astype(np.int64), fresh])
        self._is_held[slots] = True
        return slots

    def give_back(self, slots: Array) -> None:
        """These hold nothing any more; they are taken again in this order."""
        self._is_held[slots] = False
        self._turn[slots] += 1
        self._free[self._num_free : self._num_free + len(slots)] = slots
        self._num_free += len(slots)

    def keys(self, slots: Array) -> Array:
        """The keys `[n]` int64 of the items in slots `[n]`."""
        turns = self._first_turn + self._turn.take(slots)
        return turns * self._num_slots + slots

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Slots `[n]` for keys `[n]`, and whether each still holds that item."""
        turns, slots = np.divmod(keys, self._num_slots)
        is_turn = self._first_turn + self._turn.take(slots) == turns
        return slots, is_turn & self._is_held.take(slots)

    def next_key(self) -> int:
        """Larger than every key so far."""
        last_turn = int(self._turn[: self._num_used].max(initial=0))
        return (self._first_turn + last_turn + 1) * self._num_slots

    def held(self) -> Array:
        """All slots that hold an item, `[size]` int64."""
        return np.flatnonzero(self._is_held[: self._num_used])
