"""Who waits: counts what went in and out of a table, and says what may follow."""

from __future__ import annotations

import math
import sys

from acmelike.replay.config import RateLimiterConfig, SamplesPerInsert, exact


class RateLimiter:
    """The live counters of one table and the limits that its configuration sets.

    Two bounds say everything: how many items may have been inserted given what was
    sampled, and how many may have been sampled given what was inserted. Both are
    computed in whole numbers, so that a limit which `check_sample_size` accepts with
    nothing to spare is not missed by a rounding error.

    Attributes:
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_deleted: items evicted so far.
    """

    def __init__(self, config: RateLimiterConfig):
        self.num_inserted = self.num_sampled = self.num_deleted = 0
        self._min_size = config.min_size
        self._has_ratio = isinstance(config, SamplesPerInsert)
        if isinstance(config, SamplesPerInsert):
            ratio, buffer = exact(config.ratio), exact(config.error_buffer)
            self._scale = math.lcm(ratio.denominator, buffer.denominator)
            self._ratio = int(ratio * self._scale)
            self._min_diff = self._ratio * config.min_size - int(buffer * self._scale)
            self._max_diff = self._ratio * config.min_size + int(buffer * self._scale)

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        most = self._most_inserted()
        if self.num_inserted + num_items <= most:
            return None
        return (
            f"samples per insert: {self.num_inserted} items inserted and {num_items} "
            f"waiting, of at most {most} allowed after {self.num_sampled} sampled"
        )

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        size = self.num_inserted - self.num_deleted
        if size < self._min_size:
            return f"minimum size: {size} items of {self._min_size}"
        most = self._most_sampled()
        if self.num_sampled + num_items <= most:
            return None
        return (
            f"samples per insert: {self.num_sampled} items sampled and {num_items} "
            f"waiting, of at most {most} allowed after {self.num_inserted} inserted"
        )

    def num_admissible(self, num_items: int) -> int:
        """How many of `num_items`, inserted one by one, are allowed now."""
        return min(num_items, max(0, self._most_inserted() - self.num_inserted))

    def commit_inserts(self, num_items: int) -> None:
        """Counts items that were inserted."""
        self.num_inserted += num_items

    def commit_samples(self, num_items: int) -> None:
        """Counts items that were sampled."""
        self.num_sampled += num_items

    def commit_deletes(self, num_items: int) -> None:
        """Counts items that were evicted."""
        self.num_deleted += num_items

    def _most_inserted(self) -> int:
        if not self._has_ratio:
            return sys.maxsize
        by_ratio = (self._max_diff + self.num_sampled * self._scale) // self._ratio
        return max(by_ratio, self._min_size + self.num_deleted)

    def _most_sampled(self) -> int:
        if not self._has_ratio:
            return sys.maxsize
        return (self.num_inserted * self._ratio - self._min_diff) // self._scale
