"""What a replay table is, as data: its selectors, its rate limiter, its items."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.limits import (
    Queue,
    RateLimiterConfig,
    SamplesPerInsert,
    Stack,
    exact,
)
from acmelike.types import NestedSpec


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Every item with the same probability."""


@dataclass(frozen=True, kw_only=True)
class Prioritized:
    """Item i with probability p_i^e / sum_k p_k^e.

    Schaul et al. 2016, "Prioritized Experience Replay", equation 1. An item of
    priority zero is never taken, unless all are zero: then all are alike.

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
    """The oldest item."""


@dataclass(frozen=True, kw_only=True)
class Lifo:
    """The youngest item."""


@dataclass(frozen=True, kw_only=True)
class MinHeap:
    """The item of the lowest priority.

    Of equal ones, that which has longest been neither inserted nor updated.
    """


@dataclass(frozen=True, kw_only=True)
class MaxHeap:
    """The item of the highest priority; of equal ones as `MinHeap`."""


# Any of these, or a function that makes a `Selector` of your own for so many slots.
SelectorConfig: TypeAlias = (
    Uniform | Prioritized | Fifo | Lifo | MinHeap | MaxHeap | Callable[[int], Any]
)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """In the place of a spec in a signature: rows of a shared column.

    Whoever writes such an item gives the numbers of steps that it has written before;
    whoever samples it gets the rows.

    Attributes:
      column: the column's name.
      row: the spec of one row.
      length: rows of an item, on an axis before those of a row; or on so many such
        axes; None for one row, without such an axis.
    """

    column: str
    row: specs.Array
    length: int | tuple[int, ...] | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """The axes before those of a row."""
        if isinstance(self.length, tuple):
            return self.length
        return () if self.length is None else (self.length,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is sampled."""
        return (*self.lengths, *self.row.shape)

    @property
    def dtype(self) -> Any:
        """Of what is sampled."""
        return self.row.dtype


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """One table of a replay service.

    Attributes:
      name: what callers name the table by.
      signature: nest of `dm_env.specs.Array`, the arrays of one item; `Rows` in the
        place of those that items have in common.
      max_size: how many items the table holds.
      sampler: which items a sample takes.
      rate_limiter: when samples and inserts wait.
      remover: which item goes when there is one too many. An item is inserted first,
        so it may be the one that goes.
      max_times_sampled: an item goes when it was sampled so often; None for never.
      replacement: whether one sample may hold an item more than once.
      max_bytes: what the items may take; one goes when it is more. Rows that several
        of them share count once. None for no limit.
    """

    name: str
    signature: NestedSpec
    max_size: int
    sampler: SelectorConfig
    rate_limiter: RateLimiterConfig
    remover: SelectorConfig = Fifo()
    max_times_sampled: int | None = None
    replacement: bool = True
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("table: expected a name, got an empty one")
        if self.max_size < 1:
            raise ConfigError(
                f"table '{self.name}': expected max_size >= 1, got {self.max_size}"
            )
        if self.max_times_sampled is not None and self.max_times_sampled < 1:
            raise ConfigError(
                f"table '{self.name}': expected max_times_sampled >= 1 or None, "
                f"got {self.max_times_sampled}"
            )
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(
                f"table '{self.name}': expected max_bytes >= 1 or None, "
                f"got {self.max_bytes}"
            )
        check_rate_limiter(self, self.rate_limiter)
        leaves = optree.tree_leaves(self.signature)
        if not leaves:
            raise ConfigError(f"table '{self.name}': its signature has no arrays")
        for leaf in leaves:
            if not isinstance(leaf, specs.Array | Rows) or leaf.dtype.hasobject:
                raise ConfigError(
                    f"table '{self.name}': expected a signature of specs.Array and "
                    f"Rows with plain dtypes, got {leaf!r}"
                )

    @classmethod
    def queue(cls, name: str, signature: NestedSpec, max_size: int) -> TableConfig:
        """Each item is sampled once, the oldest first; a full queue takes no more."""
        return cls(
            name=name,
            signature=signature,
            max_size=max_size,
            sampler=Fifo(),
            rate_limiter=Queue(size=max_size),
            max_times_sampled=1,
        )

    @classmethod
    def stack(cls, name: str, signature: NestedSpec, max_size: int) -> TableConfig:
        """Each item is sampled once, the youngest first; a full stack takes no more."""
        return cls(
            name=name,
            signature=signature,
            max_size=max_size,
            sampler=Lifo(),
            rate_limiter=Stack(size=max_size),
            remover=Lifo(),
            max_times_sampled=1,
        )


def check_rate_limiter(table: TableConfig, limiter: RateLimiterConfig) -> None:
    """Refuses a limiter that waits for more items than the table ever holds.

    Raises:
      ConfigError: in one line.
    """
    if table.max_size < limiter.limits.min_size:
        raise ConfigError(
            f"table '{table.name}': expected max_size >= min_size = "
            f"{limiter.limits.min_size}, got {table.max_size}"
        )


def check_sample_size(table: TableConfig, num_items: int) -> None:
    """Refuses samples that leave a table where neither they nor inserts can proceed.

    Evictions change nothing of what `Limits.shortage` says: the difference that it
    looks at does not know of them, and since `max_size >= min_size` they never take a
    table below the size at which it may be sampled.

    Args:
      table: the table to be sampled.
      num_items: n, how many items each sample asks for at once.

    Raises:
      ConfigError: `num_items` is below 1, or more than the table can ever give at once,
        or the limiter's window is too narrow for it.
    """
    if num_items < 1:
        raise ConfigError(
            f"table '{table.name}': expected samples of at least 1 item, "
            f"got {num_items}"
        )
    each = 1 if not table.replacement else table.max_times_sampled
    if each is not None and num_items > table.max_size * each:
        raise ConfigError(
            f"table '{table.name}': a sample of {num_items} items is more than its "
            f"{table.max_size} items can ever give at once"
        )
    limiter = table.rate_limiter
    shortage = limiter.limits.shortage(num_items)
    if shortage is None:
        return
    remedy = f"widen it by {float(shortage):g}"
    if isinstance(limiter, SamplesPerInsert):
        needed = math.ceil(exact(limiter.error_buffer) + shortage / 2)
        remedy = f"raise error_buffer from {limiter.error_buffer:g} to {needed}"
    raise ConfigError(
        f"table '{table.name}': its rate limiter's window is too narrow for a sample "
        f"of {num_items} items and the {float(limiter.limits.ratio):g} of one insert, "
        f"so both would wait for ever; {remedy}"
    )
