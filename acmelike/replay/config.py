"""What a replay table is, as data: its sampler, its rate limiter, its items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.types import NestedSpec


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Draws every item with the same probability, with replacement."""


@dataclass(frozen=True, kw_only=True)
class Prioritized:
    """Draws item i with probability p_i^e / sum_k p_k^e, with replacement.

    Schaul et al. 2016, "Prioritized Experience Replay", equation 1. An item of
    priority zero is not drawn, unless all are zero: then the draw is uniform.

    Attributes:
      exponent: e, at least 0; with 0 all items of positive priority count the same.
    """

    exponent: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.exponent < math.inf:
            raise ConfigError(
                f"Prioritized: expected a finite exponent >= 0, got {self.exponent}"
            )


@dataclass(frozen=True, kw_only=True)
class Fifo:
    """Takes the oldest items, in the order of their insertion."""


SamplerConfig: TypeAlias = Uniform | Prioritized | Fifo


@dataclass(frozen=True, kw_only=True)
class MinSize:
    """Samples wait until the table holds enough items; inserts never wait.

    Attributes:
      min_size: how many items the table must hold to be sampled, at least 1.
    """

    min_size: int

    def __post_init__(self) -> None:
        _check_min_size(self)


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
        _check_min_size(self)
        if not 0 < self.ratio < math.inf:
            raise ConfigError(
                f"SamplesPerInsert: expected a finite ratio > 0, got {self.ratio}"
            )
        if not max(1, self.ratio) <= self.error_buffer < math.inf:
            raise ConfigError(
                "SamplesPerInsert: expected a finite error_buffer >= max(1, ratio) = "
                f"{max(1, self.ratio)}, got {self.error_buffer}"
            )


RateLimiterConfig: TypeAlias = MinSize | SamplesPerInsert


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """One table of a replay service. A full table evicts its oldest item.

    Attributes:
      name: what callers name the table by.
      signature: nest of `dm_env.specs.Array`, the arrays of one item.
      max_size: how many items the table holds.
      sampler: which items a sample draws.
      rate_limiter: when samples and inserts wait.
    """

    name: str
    signature: NestedSpec
    max_size: int
    sampler: SamplerConfig
    rate_limiter: RateLimiterConfig

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("table: expected a name, got an empty one")
        if self.max_size < self.rate_limiter.min_size:
            raise ConfigError(
                f"table '{self.name}': expected max_size >= min_size = "
                f"{self.rate_limiter.min_size}, got {self.max_size}"
            )
        leaves = optree.tree_leaves(self.signature)
        if not leaves:
            raise ConfigError(f"table '{self.name}': its signature has no arrays")
        for leaf in leaves:
            if not isinstance(leaf, specs.Array) or leaf.dtype.hasobject:
                raise ConfigError(
                    f"table '{self.name}': expected a signature of specs.Array with "
                    f"plain dtypes, got {leaf!r}"
                )


def check_sample_size(table: TableConfig, num_items: int) -> None:
    """Refuses samples that leave a table where neither they nor inserts can proceed.

    Let d be `inserts * ratio - samples`, counted from `ratio * min_size`. A sample of n
    needs d >= n - error_buffer, and an insert of one item d <= error_buffer - ratio. If
    `2 * error_buffer >= n + ratio`, every d allows one or the other. If not, there are
    d that allow neither, and inserts and samples that go on long enough arrive at one.
    (Not always: d moves in steps of the greatest common divisor of n and ratio, and may
    step over a short gap. As that no longer holds once somebody else samples another
    number of items, it is refused too.)

    Evictions change nothing: d does not know of them, and since `max_size >= min_size`
    they never take a table below the size at which it may be sampled.

    Args:
      table: the table to be sampled.
      num_items: n, how many items each sample asks for at once.

    Raises:
      ConfigError: `num_items` is below 1, or the limiter's window is too narrow for it.
    """
    if num_items < 1:
        raise ConfigError(
            f"table '{table.name}': expected samples of at least 1 item, "
            f"got {num_items}"
        )
    limiter = table.rate_limiter
    if isinstance(limiter, MinSize):
        return
    needed = num_items + exact(limiter.ratio)
    window = 2 * exact(limiter.error_buffer)
    if window < needed:
        raise ConfigError(
            f"table '{table.name}': its rate limiter's window of 2 * error_buffer = "
            f"{float(window):g} is narrower than a sample of {num_items} items plus "
            f"the {limiter.ratio:g} of one insert, so both would wait for ever; raise "
            f"error_buffer from {limiter.error_buffer:g} to {math.ceil(needed / 2)}"
        )


def exact(value: float) -> Fraction:
    """The decimal number that a float is written as: 0.1 is one tenth."""
    return Fraction(repr(float(value)))


def _check_min_size(limiter: RateLimiterConfig) -> None:
    if limiter.min_size < 1:
        raise ConfigError(
            f"{type(limiter).__name__}: expected min_size >= 1, got {limiter.min_size}"
        )
