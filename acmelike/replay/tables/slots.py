"""Which places of a table hold an item, and the keys of those that do."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.snapshot import ArraySnapshot, RowSubset, Snapshot
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
        self._num_slots, self._first_key = num_slots, first_turn * num_slots
        # A slot's key is that of the item that it holds, or will hold next. Memory that
        # was never touched takes no space, so a slot gets one when it is first taken.
        self._keys = np.zeros(num_slots, np.int64)
        self._is_held = np.zeros(num_slots, bool)
        # A stack of slots that were given back; those from `_num_used` on never were
        # taken.
        self._free = np.empty(num_slots, index_dtype(num_slots))
        self._num_free = self._num_used = 0
        parts = (self._keys, self._is_held, self._free)
        self.slot_bytes: int = sum(part.itemsize for part in parts)

    def take(self, num_items: int) -> Array:
        """Slots `[n]` int64 that hold an item from now on."""
        num_again = min(num_items, self._num_free)
        self._num_free -= num_again
        again = self._free[self._num_free : self._num_free + num_again]
        fresh = np.arange(self._num_used, self._num_used + num_items - num_again)
        self._num_used += len(fresh)
        self._keys[fresh] = self._first_key + fresh
        slots = np.concatenate([again.astype(np.int64), fresh])
        self._is_held[slots] = True
        return slots

    def give_back(self, slots: Array) -> None:
        """These hold nothing any more; they are taken again in this order."""
        self._is_held[slots] = False
        self._keys[slots] += self._num_slots
        self._free[self._num_free : self._num_free + len(slots)] = slots
        self._num_free += len(slots)

    def keys(self, slots: Array) -> Array:
        """The keys `[n]` int64 of the items in slots `[n]`."""
        keys: Array = self._keys.take(slots)
        return keys

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Slots `[n]` for keys `[n]`, and whether each still holds that item."""
        slots = keys % self._num_slots
        is_latest = self._keys.take(slots) == keys
        return slots, is_latest & self._is_held.take(slots)

    def find_held(self, keys: Array) -> Array:
        """Slots of those of the keys `[n]` whose items are still held."""
        slots, is_held = self.find(keys)
        held: Array = slots[is_held]
        return held

    def next_key(self) -> int:
        """Larger than every key so far."""
        return int(self._keys[: self._num_used].max(initial=self._first_key)) + 1

    def chosen(self) -> RowSubset:
        """Those that hold an item, as they are now."""
        return RowSubset(self._is_held[: self._num_used])

    def held(self) -> Array:
        """All slots that hold an item, `[size]` int64."""
        return np.flatnonzero(self._is_held[: self._num_used])


class Quotas:
    """Counts the samples of every slot's item.

    Args:
      num_slots: how many slots there are.
      most: how often an item may be sampled, or None.

    Attributes:
      most: the same.
      slot_bytes: what a slot takes in here.
    """

    def __init__(self, num_slots: int, most: int | None):
        self.most = most
        self._times = lazy_zeros((num_slots,), np.int32)
        self.slot_bytes = self._times.itemsize
        self._num_left = 0
        self._copying: ArraySnapshot | None = None

    def begin(self, slots: Array, times: Array | int = 0) -> None:
        """Slots get items that were sampled so often."""
        self._before_overwriting(slots)
        self._times[slots] = times
        if self.most is not None:
            self._num_left += int(self.left(slots).sum())

    def end(self, slots: Array) -> None:
        """The items of slots are gone."""
        if self.most is not None:
            self._num_left -= int(self.left(slots).sum())

    def count(self, slots: Array, by: int = 1) -> None:
        """Slots `[n]` were sampled once more, each as often as it is in there."""
        self._before_overwriting(slots)
        np.add.at(self._times, slots, by)
        self._num_left -= by * len(slots)

    def begin_save(self, slots: RowSubset, copies: Snapshot, name: str) -> None:
        """Begins to copy how often the items of slots were sampled until now."""
        self._copying = copies.begin(name, self._times, slots)

    def times(self, slots: Array) -> Array:
        """How often the items of slots `[n]` were sampled, `[n]` int32."""
        times: Array = self._times.take(slots)
        return times

    def left(self, slots: Array) -> Array:
        """How often each may still be sampled, `[n]`; there is a most."""
        assert self.most is not None
        return self.most - self.times(slots)

    def num_left(self) -> int:
        """How many samples all items together still allow; there is a most."""
        return self._num_left

    def _before_overwriting(self, slots: Array) -> None:
        if self._copying is not None:
            self._copying.before_overwriting(slots)
