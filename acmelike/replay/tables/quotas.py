"""How often items were sampled, and how often they still may be."""

from __future__ import annotations

import numpy as np

from acmelike.replay.storage.lazy_zeros import lazy_zeros
from acmelike.replay.storage.row_subset import RowSubset
from acmelike.replay.storage.snapshot import ArraySnapshot, Snapshot
from acmelike.types import Array


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
