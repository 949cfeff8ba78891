"""Rate limiters: when inserts and samples wait.

A configuration (`MinSize`, `SamplesPerInsert`, ...) is data. All of them reduce to one
form, `Limits`. A table's `RateLimiter` counts items and compares them with its limits.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Protocol

from acmelike.checks import above, at_least, check_fields
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The common form of all rate limiters.

    With I items inserted, S sampled and D deleted so far,

        a sample of n items waits until I - D >= min_size
                                    and I * ratio - S - n >= min_diff
        an insert of n items waits until I + n - D <= min_size
                                      or (I + n) * ratio - S <= max_diff

    The arithmetic is exact: it uses fractions of the decimals that the user wrote.

    Attributes:
      min_size: items that must be held before any is sampled.
      ratio: how many samples an insert is worth.
      min_diff: lower bound of the difference after a sample; None for no bound.
      max_diff: upper bound of the difference after an insert; None for no bound.
    """

    min_size: int
    ratio: Fraction
    min_diff: Fraction | None
    max_diff: Fraction | None

    def shortage(self, num_items: int) -> Fraction | None:
        """By how much the window is too narrow for samples of `num_items`, or None.

        A sample of n items waits at a difference d below `min_diff + n`, and an insert
        of one item waits at a d above `max_diff - ratio`. The difference changes in
        steps of 1 and of the ratio. If it can reach a d where both wait, a run that is
        long enough reaches it, and then inserts and samples wait for each other.
        """
        if self.min_diff is None or self.max_diff is None:
            return None
        step = Fraction(1, self.ratio.denominator)
        lowest_blocked = ((self.max_diff - self.ratio) // step + 1) * step
        if lowest_blocked >= self.min_diff + num_items:
            return None
        return num_items + self.ratio - (self.max_diff - self.min_diff)

    def runs_out(
        self, num_items: int, max_times_sampled: int | None, max_per_sample: int
    ) -> bool:
        """Whether a state is reachable where inserts wait and too few items are left.

        After S samples, inserts wait once `(max_diff + S) // ratio` items were
        inserted. At most `S / max_times_sampled` of them are used up; each of the
        others can give `max_per_sample` draws to one sample. S is a multiple of
        `num_items`. After as many samples as the ratio's numerator, the pattern
        repeats, or more is left each time. So it is enough to check that many.

        Args:
          num_items: size of each sample.
          max_times_sampled: how often an item may be sampled in all; None for no limit.
          max_per_sample: how often one sample may contain the same item.
        """
        if self.max_diff is None:
            return False
        if max_times_sampled is not None and self.ratio > max_times_sampled:
            return True
        used_up_per_sample = (
            Fraction(0) if max_times_sampled is None else Fraction(1, max_times_sampled)
        )
        for k in range(self.ratio.numerator):
            num_sampled = k * num_items
            num_used_up = num_sampled * used_up_per_sample
            num_held = (self.max_diff + num_sampled) / self.ratio - num_used_up
            is_growing = self.ratio * used_up_per_sample < 1
            if max_per_sample * (num_held - 1) >= num_items and is_growing:
                return False
            by_ratio = (self.max_diff + num_sampled) // self.ratio
            num_inserted = max(by_ratio, self.min_size)
            if max_per_sample * (num_inserted - num_used_up) < num_items:
                return True
        return False


class RateLimiterConfig(Protocol):
    """Configuration of a rate limiter; you may write one of your own."""

    @property
    def limits(self) -> Limits:
        """The limiter in the common form."""


@dataclass(frozen=True, kw_only=True)
class MinSize:
    """Samples wait until the table holds enough items; inserts never wait.

    Attributes:
      min_size: how many items the table must hold before it is sampled.
    """

    min_size: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self, "MinSize")

    @cached_property
    def limits(self) -> Limits:
        return Limits(
            min_size=self.min_size, ratio=Fraction(1), min_diff=None, max_diff=None
        )


@dataclass(frozen=True, kw_only=True)
class SamplesPerInsert:
    """Keeps the number of items sampled per item inserted close to a ratio.

    The limiter keeps `inserts * ratio - samples` between
    `ratio * min_size - error_buffer` and `ratio * min_size + error_buffer`: inserts and
    samples that would leave this window wait. Inserts that only fill the table up to
    `min_size` never wait.

    Attributes:
      ratio: items sampled per item inserted.
      min_size: how many items the table must hold before it is sampled.
      error_buffer: how far samples may run ahead of the ratio or fall behind it, in
        items sampled; at least the ratio. Large samples need more; see
        `check_sample_size`.
    """

    ratio: Annotated[float, above(0)]
    min_size: Annotated[int, at_least(1)]
    error_buffer: Annotated[float, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self, "SamplesPerInsert")
        if self.error_buffer < self.ratio:
            raise ConfigError(
                "SamplesPerInsert: error_buffer must be at least the ratio, "
                f"{self.ratio}: {self.error_buffer}"
            )

    @cached_property
    def limits(self) -> Limits:
        ratio, buffer = as_fraction(self.ratio), as_fraction(self.error_buffer)
        middle = ratio * self.min_size
        return Limits(
            min_size=self.min_size,
            ratio=ratio,
            min_diff=middle - buffer,
            max_diff=middle + buffer,
        )


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Inserts wait while `size` items were inserted and not sampled yet.

    It is for a table that removes an item when it was sampled; see `TableConfig.queue`.
    An item that is deleted before it was sampled still counts as inserted and not
    sampled. Then the items left may be too few for a sample, while inserts still wait.
    `Replay.reset` resolves this.

    Attributes:
      size: how many items may be inserted ahead of the samples.
    """

    size: Annotated[int, at_least(1)]

    def __post_init__(self) -> None:
        check_fields(self, type(self).__name__)

    @cached_property
    def limits(self) -> Limits:
        return Limits(
            min_size=1,
            ratio=Fraction(1),
            min_diff=Fraction(0),
            max_diff=Fraction(self.size),
        )


@dataclass(frozen=True, kw_only=True)
class Stack(Queue):
    """The same limits as a `Queue`; see `TableConfig.stack`."""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A rate limiter with bounds of your own; `Limits` has the formulas.

    Attributes:
      samples_per_insert: how many samples an insert is worth.
      min_size: items that must be held before any is sampled.
      min_diff: lower bound of `inserts * samples_per_insert - samples` after a sample;
        `-math.inf` for no bound.
      max_diff: upper bound of it after an insert; `math.inf` for no bound.
    """

    samples_per_insert: Annotated[float, above(0)]
    min_size: Annotated[int, at_least(1)]
    min_diff: float
    max_diff: float

    def __post_init__(self) -> None:
        check_fields(self, "Raw")
        if not -math.inf <= self.min_diff <= self.max_diff <= math.inf:
            raise ConfigError(
                f"Raw: min_diff must be at most max_diff: {self.min_diff} and "
                f"{self.max_diff}"
            )
        if self.min_diff == math.inf or self.max_diff == -math.inf:
            raise ConfigError(
                "Raw: min_diff must be below inf and max_diff above -inf, otherwise "
                f"every call waits for ever: {self.min_diff} and {self.max_diff}"
            )
        if (shortage := self.limits.shortage(1)) is not None:
            raise ConfigError(
                f"Raw: the window from min_diff {self.min_diff} to max_diff "
                f"{self.max_diff} is {float(shortage):g} too narrow for a sample of "
                "one item and an insert, so both would wait for ever"
            )

    @cached_property
    def limits(self) -> Limits:
        has_min, has_max = math.isfinite(self.min_diff), math.isfinite(self.max_diff)
        return Limits(
            min_size=self.min_size,
            ratio=as_fraction(self.samples_per_insert),
            min_diff=as_fraction(self.min_diff) if has_min else None,
            max_diff=as_fraction(self.max_diff) if has_max else None,
        )


def as_fraction(value: float) -> Fraction:
    """The decimal number that a float is printed as: 0.1 is one tenth."""
    return Fraction(repr(float(value)))


class RateLimiter:
    """Counts the items of one table, and compares them with the configured limits.

    The limits come down to two bounds: how many items may have been inserted for the
    samples so far, and how many may have been sampled for the inserts so far. Both are
    computed in integers. With floats, a rounding error could miss a limit that
    `Limits.shortage` accepts with nothing to spare.

    Attributes:
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_deleted: items that are no longer held.
    """

    def __init__(self, config: RateLimiterConfig):
        self.num_inserted = self.num_sampled = self.num_deleted = 0
        self.set_limits(config)

    def set_limits(self, config: RateLimiterConfig) -> None:
        """Replaces the limits and keeps the counters."""
        limits = config.limits
        bounds = [b for b in (limits.min_diff, limits.max_diff) if b is not None]
        scale = math.lcm(*(x.denominator for x in (limits.ratio, *bounds)))
        self._min_size, self._scale = limits.min_size, scale
        self._ratio = int(limits.ratio * scale)
        self._min_diff, self._max_diff = (
            None if bound is None else int(bound * scale)
            for bound in (limits.min_diff, limits.max_diff)
        )

    def reset(self) -> None:
        """Sets all counters to zero."""
        self.num_inserted = self.num_sampled = self.num_deleted = 0

    def counters(self) -> list[int]:
        """The arguments of `restore`."""
        return [self.num_inserted, self.num_sampled, self.num_deleted]

    def restore(self, num_inserted: int, num_sampled: int, num_deleted: int) -> None:
        """Sets the counters."""
        self.num_inserted, self.num_sampled = num_inserted, num_sampled
        self.num_deleted = num_deleted

    @property
    def size(self) -> int:
        """Number of items held."""
        return self.num_inserted - self.num_deleted

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        bound = self._max_inserted()
        if self.num_inserted + num_items <= bound:
            return None
        return (
            f"samples per insert: {self.num_inserted} items inserted and {num_items} "
            f"waiting, of at most {bound} allowed after {self.num_sampled} sampled"
        )

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        if self.size < self._min_size:
            return f"minimum size: {self.size} items of {self._min_size}"
        bound = self._max_sampled()
        if self.num_sampled + num_items <= bound:
            return None
        return (
            f"samples per insert: {self.num_sampled} items sampled and {num_items} "
            f"waiting, of at most {bound} allowed after {self.num_inserted} inserted"
        )

    def num_admissible(self, num_items: int) -> int:
        """How many of `num_items` may be inserted now, one by one."""
        return min(num_items, max(0, self._max_inserted() - self.num_inserted))

    def count_inserts(self, num_items: int) -> None:
        """Adds to the items inserted."""
        self.num_inserted += num_items

    def count_samples(self, num_items: int) -> None:
        """Adds to the items sampled; a negative number subtracts from them."""
        self.num_sampled += num_items

    def count_deletes(self, num_items: int) -> None:
        """Adds to the items that are no longer held."""
        self.num_deleted += num_items

    def _max_inserted(self) -> int:
        if self._max_diff is None:
            return sys.maxsize
        by_ratio = (self._max_diff + self.num_sampled * self._scale) // self._ratio
        return max(by_ratio, self._min_size + self.num_deleted)

    def _max_sampled(self) -> int:
        if self._min_diff is None:
            return sys.maxsize
        return (self.num_inserted * self._ratio - self._min_diff) // self._scale
