"""Who waits: counts what went in and out of a table, and says what may follow."""

from __future__ import annotations

import math
import sys

from acmelike.replay.limiters.limits import RateLimiterConfig


class RateLimiter:
    """The live counters of one table and the limits that its configuration sets.

    Two bounds say everything: how many items may have been inserted given what was
    sampled, and how many may have been sampled given what was inserted. Both are
    computed in whole numbers, so that a limit which `Limits.shortage` accepts with
    nothing to spare is not missed by a rounding error.

    Attributes:
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_deleted: items that are no longer held, for whatever reason.
    """

    def __init__(self, config: RateLimiterConfig):
        self.num_inserted = self.num_sampled = self.num_deleted = 0
        self.set_limits(config)

    def set_limits(self, config: RateLimiterConfig) -> None:
        """From now on these limits hold; the counters stay."""
        limits = config.limits
        bounds = [b for b in (limits.least, limits.most) if b is not None]
        scale = math.lcm(*(x.denominator for x in (limits.ratio, *bounds)))
        self._min_size, self._scale = limits.min_size, scale
        self._ratio = int(limits.ratio * scale)
        self._least = None if limits.least is None else int(limits.least * scale)
        self._most = None if limits.most is None else int(limits.most * scale)

    def reset(self) -> None:
        """Begins to count again."""
        self.num_inserted = self.num_sampled = self.num_deleted = 0

    def counters(self) -> list[int]:
        """What `restore` takes."""
        return [self.num_inserted, self.num_sampled, self.num_deleted]

    def restore(self, num_inserted: int, num_sampled: int, num_deleted: int) -> None:
        """Goes on counting from these."""
        self.num_inserted, self.num_sampled = num_inserted, num_sampled
        self.num_deleted = num_deleted

    @property
    def size(self) -> int:
        """Items held."""
        return self.num_inserted - self.num_deleted

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
        if self.size < self._min_size:
            return f"minimum size: {self.size} items of {self._min_size}"
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
        """Counts items that are no longer held."""
        self.num_deleted += num_items

    def _most_inserted(self) -> int:
        if self._most is None:
            return sys.maxsize
        by_ratio = (self._most + self.num_sampled * self._scale) // self._ratio
        return max(by_ratio, self._min_size + self.num_deleted)

    def _most_sampled(self) -> int:
        if self._least is None:
            return sys.maxsize
        return (self.num_inserted * self._ratio - self._least) // self._scale
