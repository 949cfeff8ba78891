"""The slots of a table: which hold an item, its key, and how often it was sampled."""

from __future__ import annotations

import numpy as np

from acmelike.replay.selectors.base import index_dtype
from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.snapshot import ArraySnapshot, RowSubset, Snapshot
from acmelike.types import Array


class Slots:
    """Allocates slots, and gives every item a key.

    The low bits of a key are the slot of its item. The bits above count the items that
    the slot held before. So finding an item by its key needs no index.

    Args:
      num_slots: number of slots.
      min_key: no key is smaller. A restored table starts above all earlier keys, so
        that earlier keys find nothing.

    Attributes:
      slot_bytes: memory that a slot takes here.
    """

    def __init__(self, num_slots: int, min_key: int = 0):
        # One bit at least: then `~key` never has the slot of `key`, see `find`.
        stride = 1 << max(1, (num_slots - 1).bit_length())
        self._stride, self._slot_mask = stride, stride - 1
        self._first_key = -(-min_key // stride) * stride
        # For each slot the key of the item that it holds. An empty slot has `~key`,
        # which is negative, for the key of its next item. Slots that were never
        # allocated have 0, which takes no memory and is never the key of their item.
        self._keys = lazy_zeros((stride,), np.int64)
        self._keys[0] = ~0
        # A stack of freed slots. Slots from `_num_used` on were never allocated.
        self._free = np.empty(num_slots, index_dtype(num_slots))
        self._num_free = self._num_used = 0
        self.slot_bytes: int = self._keys.itemsize + self._free.itemsize

    def allocate(self, num_items: int) -> Array:
        """Returns slots `[n]` int64, each of which holds an item from now on."""
        num_reused = min(num_items, self._num_free)
        first, stop = self._num_used, self._num_used + num_items - num_reused
        fresh = np.arange(first, stop)
        self._keys[first:stop] = self._first_key + fresh
        self._num_used = stop
        if not num_reused:
            return fresh
        self._num_free -= num_reused
        reused = self._free[self._num_free : self._num_free + num_reused]
        self._keys[reused] = ~self._keys[reused]
        return np.concatenate([reused.astype(np.int64), fresh])

    def free(self, slots: Array) -> None:
        """Frees slots `[n]`; the slots that were freed last are allocated first."""
        self._keys[slots] = ~(self._keys[slots] + self._stride)
        self._free[self._num_free : self._num_free + len(slots)] = slots
        self._num_free += len(slots)

    def keys(self, slots: Array) -> Array:
        """The keys `[n]` int64 of the items in slots `[n]`."""
        keys: Array = self._keys.take(slots)
        return keys

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Slots `[n]` for keys `[n]`, and whether each still holds that item."""
        slots = keys & self._slot_mask
        return slots, self._keys.take(slots) == keys

    def find_held(self, keys: Array) -> Array:
        """The slots of those keys `[n]` whose items are still held."""
        slots, is_held = self.find(keys)
        held: Array = slots[is_held]
        return held

    def next_key(self) -> int:
        """A number larger than every key so far."""
        used = self._keys[: self._num_used]
        return int(np.maximum(used, ~used).max(initial=self._first_key)) + 1

    def held(self) -> Array:
        """All slots that hold an item, `[size]` int64."""
        return np.flatnonzero(self._keys[: self._num_used] >= 0)

    def held_subset(self) -> RowSubset:
        """All slots that hold an item, as a subset that does not change."""
        return RowSubset(self._keys[: self._num_used] >= 0)


class SampleCounts:
    """Counts how often each slot's item was sampled, and how often it still may be.

    Args:
      num_slots: number of slots.
      max_times_sampled: how often an item may be sampled; None for no limit.

    Attributes:
      max_times_sampled: as the argument.
      slot_bytes: memory that a slot takes here.
    """

    def __init__(self, num_slots: int, max_times_sampled: int | None):
        self.max_times_sampled = max_times_sampled
        self._times = lazy_zeros((num_slots,), np.int32)
        self.slot_bytes = self._times.itemsize
        self._total_remaining = 0
        self._snapshot: ArraySnapshot | None = None

    def insert(self, slots: Array, times: Array | int = 0) -> None:
        """Adds items in slots `[n]`, which were sampled `times` before."""
        self._before_overwriting(slots)
        self._times[slots] = times
        if self.max_times_sampled is not None:
            self._total_remaining += int(self.remaining(slots).sum())

    def delete(self, slots: Array) -> None:
        """Removes the items of slots `[n]`."""
        if self.max_times_sampled is not None:
            self._total_remaining -= int(self.remaining(slots).sum())

    def count(self, slots: Array, by: int = 1) -> None:
        """Adds `by` to the count of a slot each time that it is in slots `[n]`."""
        self._before_overwriting(slots)
        np.add.at(self._times, slots, by)
        self._total_remaining -= by * len(slots)

    def times_sampled(self, slots: Array) -> Array:
        """How often the items of slots `[n]` were sampled, `[n]` int32."""
        times: Array = self._times.take(slots)
        return times

    def remaining(self, slots: Array) -> Array:
        """How often each item may still be drawn, `[n]`; only if there is a limit."""
        assert self.max_times_sampled is not None
        return self.max_times_sampled - self.times_sampled(slots)

    def total_remaining(self) -> int:
        """How many draws all items together still allow; only if there is a limit."""
        return self._total_remaining

    def add_to_snapshot(self, snapshot: Snapshot, subset: RowSubset, name: str) -> None:
        """Adds the counts of a subset of the slots, as they are now."""
        self._snapshot = snapshot.add(name, self._times, subset)

    def _before_overwriting(self, slots: Array) -> None:
        if self._snapshot is not None:
            self._snapshot.before_overwriting(slots)
