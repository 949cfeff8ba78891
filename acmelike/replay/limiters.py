"""Rate limiters, as data: when inserts and samples wait."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol

import numpy as np

from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every rate limiter comes down to.

    With I items inserted, S sampled and D deleted so far,

        a sample of n items waits until I - D >= min_size and I * ratio - S - n >= least
        an insert of n items waits until I + n - D <= min_size or
                                         (I + n) * ratio - S <= most

    in whole numbers, as the decimals that the limiter was written with.

    Attributes:
      min_size: items that must be held before any is sampled.
      ratio: how many samples an insert is worth.
      least: of the difference after a sample; None if there is no least.
      most: of the difference after an insert; None if there is no most.
    """

    min_size: int
    ratio: Fraction
    least: Fraction | None
    most: Fraction | None

    def shortage(self, num_items: int) -> Fraction | None:
        """By how much the window is too narrow for samples of `num_items`, or None.

        A sample of n waits at a difference d below `least + n`, an insert of one item
        at a d above `most - ratio`. If there are d that d can get to, in steps of 1 and
        of the ratio, where both wait, inserts and samples that go on long enough arrive
        at one, and then wait for each other.
        """
        if self.least is None or self.most is None:
            return None
        step = Fraction(1, self.ratio.denominator)
        lowest = ((self.most - self.ratio) // step + 1) * step
        if lowest >= self.least + num_items:
            return None
        return num_items + self.ratio - (self.most - self.least)

    def runs_out(self, num_items: int, most: int | None, each: int) -> bool:
        """Whether items may be used up to where inserts wait and too few are left.

        With S samples, inserts wait once `(most + S) // ratio` items came. Of these,
        at most `S / most_times` are gone; the rest can give `each` for every one. The
        S are multiples of n; this repeats itself after as many of them as the ratio's
        numerator, or what is left only grows.

        Args:
          num_items: n, of each sample.
          most: how often an item may be sampled at all, or None.
          each: how often one item may be in one sample.
        """
        if self.most is None:
            return False
        if most is not None and self.ratio > most:
            return True
        worn = Fraction(0) if most is None else Fraction(1, most)
        for k in range(self.ratio.numerator):
            num_sampled = k * num_items
            held = (self.most + num_sampled) / self.ratio - num_sampled * worn
            if each * (held - 1) >= num_items and self.ratio * worn < 1:
                return False
            came = max((self.most + num_sampled) // self.ratio, self.min_size)
            if each * (came - num_sampled * worn) < num_items:
                return True
        return False


class RateLimiterConfig(Protocol):
    """A rate limiter."""

    @property
    def limits(self) -> Limits:
        """What it comes down to."""


@dataclass(frozen=True, kw_only=True)
class MinSize:
    """Samples wait until the table holds enough items; inserts never wait.

    Attributes:
      min_size: how many items the table must hold to be sampled, at least 1.
    """

    min_size: int

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "min_size", self.min_size)

    @cached_property
    def limits(self) -> Limits:
        """See `RateLimiterConfig`."""
        return Limits(min_size=self.min_size, ratio=Fraction(1), least=None, most=None)


@dataclass(frozen=True, kw_only=True)
class SamplesPerInsert:
    """Keeps the number of items sampled per item inserted close to a ratio.

    Inserts and samples wait where they would take `inserts * ratio - samples` out of
    `ratio * min_size - error_buffer` to `ratio * min_size + error_buffer`. Inserts do
    not wait while they only fill the table up to `min_size`.

    Attributes:
      ratio: items sampled per item inserted, above 0.
      min_size: how many items the table must hold to be sampled, at least 1.
      error_buffer: how far samples may run ahead of or fall behind the ratio, in items
        sampled, at least `max(1, ratio)`; see `check_sample_size`.
    """

    ratio: float
    min_size: int
    error_buffer: float

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "min_size", self.min_size)
        _check_ratio(self, self.ratio)
        if not max(1, self.ratio) <= self.error_buffer < math.inf:
            raise ConfigError(
                "SamplesPerInsert: expected a finite error_buffer >= max(1, ratio) = "
                f"{max(1, self.ratio)}, got {self.error_buffer}"
            )

    @cached_property
    def limits(self) -> Limits:
        """See `RateLimiterConfig`."""
        ratio, buffer = exact(self.ratio), exact(self.error_buffer)
        middle = ratio * self.min_size
        return Limits(
            min_size=self.min_size,
            ratio=ratio,
            least=middle - buffer,
            most=middle + buffer,
        )


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Inserts wait while `size` items were inserted and not yet sampled.

    For a table whose items go when they were sampled: see `TableConfig.queue`. An item
    that is deleted without having been sampled counts as one that is ahead for good:
    too few of those that are left may then be enough neither for a sample of several
    nor for another insert. `Replay.reset` begins again.

    Attributes:
      size: how many items may be ahead of the samples, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "size", self.size)

    @cached_property
    def limits(self) -> Limits:
        """See `RateLimiterConfig`."""
        return Limits(
            min_size=1, ratio=Fraction(1), least=Fraction(0), most=Fraction(self.size)
        )


@dataclass(frozen=True, kw_only=True)
class Stack(Queue):
    """The same limits as a `Queue`; see `TableConfig.stack`."""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Limits of your own; see `Limits` for what they mean.

    Attributes:
      samples_per_insert: how many samples an insert is worth, above 0.
      min_size: items that must be held before any is sampled, at least 1.
      min_diff: the least that `inserts * samples_per_insert - samples` may be after a
        sample; `-math.inf` for no least.
      max_diff: the most that it may be after an insert; `math.inf` for no most.
    """

    samples_per_insert: float
    min_size: int
    min_diff: float
    max_diff: float

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "min_size", self.min_size)
        _check_ratio(self, self.samples_per_insert)
        if not -math.inf <= self.min_diff <= self.max_diff <= math.inf:
            raise ConfigError(
                f"Raw: expected min_diff <= max_diff, got {self.min_diff} and "
                f"{self.max_diff}"
            )
        if self.min_diff == math.inf or self.max_diff == -math.inf:
            raise ConfigError(
                "Raw: expected min_diff < inf and max_diff > -inf, as nothing could "
                f"ever proceed, got {self.min_diff} and {self.max_diff}"
            )
        if (shortage := self.limits.shortage(1)) is not None:
            raise ConfigError(
                f"Raw: from min_diff {self.min_diff} to max_diff {self.max_diff} is "
                f"{float(shortage):g} too little for a sample of one item and an "
                "insert, so both would wait for ever"
            )

    @cached_property
    def limits(self) -> Limits:
        """See `RateLimiterConfig`."""
        return Limits(
            min_size=self.min_size,
            ratio=exact(self.samples_per_insert),
            least=exact(self.min_diff) if math.isfinite(self.min_diff) else None,
            most=exact(self.max_diff) if math.isfinite(self.max_diff) else None,
        )


def check_count(owner: str, name: str, value: object) -> None:
    """Refuses what is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(
            f"{owner}: expected {name} >= 1, got {value!r}, no whole number"
        )
    if value < 1:
        raise ConfigError(f"{owner}: expected {name} >= 1, got {value}")


def exact(value: float) -> Fraction:
    """The decimal number that a float is written as: 0.1 is one tenth."""
    return Fraction(repr(float(value)))


def _check_ratio(limiter: RateLimiterConfig, ratio: float) -> None:
    if not 0 < ratio < math.inf:
        raise ConfigError(
            f"{type(limiter).__name__}: expected a finite ratio > 0, got {ratio}"
        )


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
