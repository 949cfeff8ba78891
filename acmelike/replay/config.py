"""Configuration of a replay table, and the checks that refuse one that deadlocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, TypeAlias

import optree
from dm_env import specs

from acmelike.checks import at_least, check_fields
from acmelike.errors import ConfigError
from acmelike.replay.limiters import (
    Limits,
    MinSize,
    Queue,
    RateLimiterConfig,
    Raw,
    SamplesPerInsert,
    Stack,
    as_fraction,
)
from acmelike.types import NestedSpec

# --- Selectors -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Selects every item with the same probability."""


@dataclass(frozen=True, kw_only=True)
class Prioritized:
    """Selects item i with probability p_i^e / sum_k p_k^e.

    Schaul et al. 2016, "Prioritized Experience Replay", equation 1. An item of
    priority zero is never drawn, unless all priorities are zero: then all items have
    the same probability.

    Attributes:
      exponent: e; with 0, all items of positive priority have the same probability.
        Powers p^e are cut off at 1e200 and vanish below 1e-308. Larger priorities count
        the same, and smaller ones count as zero.
    """

    exponent: Annotated[float, at_least(0)] = 0.6

    def __post_init__(self) -> None:
        check_fields(self, "Prioritized")


@dataclass(frozen=True, kw_only=True)
class Fifo:
    """Selects the oldest item."""


@dataclass(frozen=True, kw_only=True)
class Lifo:
    """Selects the youngest item."""


@dataclass(frozen=True, kw_only=True)
class MinHeap:
    """Selects the item of the lowest priority.

    Among equals, it selects the item whose last insert or update is the longest ago.
    """


@dataclass(frozen=True, kw_only=True)
class MaxHeap:
    """Selects the item of the highest priority; among equals, as `MinHeap` does."""


BUILT_IN = (Uniform, Prioritized, Fifo, Lifo, MinHeap, MaxHeap)

# A built-in one, or a function that takes a number of slots and returns a `Selector`.
SelectorConfig: TypeAlias = (
    Uniform | Prioritized | Fifo | Lifo | MinHeap | MaxHeap | Callable[[int], Any]
)


# --- Tables --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A leaf of a signature that refers to rows of a shared column.

    A writer puts the numbers of steps that it has written before into such a leaf. A
    sample has the rows of these steps.

    Attributes:
      column: the column's name.
      row: the spec of one row.
      length: number of rows in an item, L. A sample then has `[L, *row]`. A tuple gives
        several axes; None gives one row without such an axis.
    """

    column: str
    row: specs.Array
    length: Annotated[int | tuple[int, ...] | None, at_least(1)] = None

    def __post_init__(self) -> None:
        owner = f"Rows of column '{self.column}'"
        if not isinstance(self.row, specs.Array):
            raise ConfigError(
                f"{owner}: expected row to be a specs.Array, got {self.row!r}"
            )
        check_fields(self, owner)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The axes before those of a row."""
        if isinstance(self.length, tuple):
            return self.length
        return () if self.length is None else (self.length,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the leaf in a sampled item."""
        return (*self.lengths, *self.row.shape)

    @property
    def dtype(self) -> Any:
        """Data type of the leaf in a sampled item."""
        return self.row.dtype


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """One table of a replay service.

    Attributes:
      name: identifies the table in every call.
      signature: nest of `dm_env.specs.Array`, the arrays of one item; `Rows` for arrays
        that items share.
      max_size: how many items the table holds.
      sampler: which items a sample takes.
      rate_limiter: when samples and inserts wait.
      remover: which item is evicted when there is one too many. An item is inserted
        before the remover chooses, so the new item may be the one that is evicted.
      max_times_sampled: an item is removed when it was sampled this many times; None
        for never.
      replacement: whether one sample may contain an item more than once.
      max_bytes: how many bytes the items may take; at least those of the smallest item,
        all of whose rows are the same. Items are evicted while they take more. Rows
        that several items share count once. None for no limit.
      rows_per_item: how many new rows of each column an item brings, where items share
        rows; `full_bytes` is estimated with it.
    """

    name: str
    signature: NestedSpec
    max_size: Annotated[int, at_least(1)]
    sampler: SelectorConfig
    rate_limiter: RateLimiterConfig
    remover: SelectorConfig = Fifo()
    max_times_sampled: Annotated[int | None, at_least(1)] = None
    replacement: bool = True
    max_bytes: Annotated[int | None, at_least(1)] = None
    rows_per_item: Annotated[int, at_least(1)] = 1

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("table: name must not be empty")
        check_fields(self, f"table '{self.name}'")
        for role in ("sampler", "remover"):
            selector = getattr(self, role)
            if not isinstance(selector, BUILT_IN) and (
                selector in BUILT_IN or not callable(selector)
            ):
                raise ConfigError(
                    f"table '{self.name}': expected a {role} such as Uniform() or a "
                    f"function that makes a Selector, got {selector!r}"
                )
        if not isinstance(getattr(self.rate_limiter, "limits", None), Limits):
            raise ConfigError(
                f"table '{self.name}': expected a rate_limiter such as "
                f"MinSize(min_size=1), got {self.rate_limiter!r}"
            )
        leaves = optree.tree_leaves(self.signature)
        if not leaves:
            raise ConfigError(f"table '{self.name}': its signature has no arrays")
        for leaf in leaves:
            if not isinstance(leaf, specs.Array | Rows) or leaf.dtype.hasobject:
                raise ConfigError(
                    f"table '{self.name}': expected a signature of specs.Array and "
                    f"Rows with plain dtypes, got {leaf!r}"
                )
        if self.max_items < 1:
            raise ConfigError(
                f"table '{self.name}': max_bytes must be at least "
                f"{_min_item_bytes(leaves)}, the bytes of the smallest item: "
                f"{self.max_bytes}"
            )
        check_rate_limiter(self, self.rate_limiter)

    @property
    def max_items(self) -> int:
        """The largest number of items that `max_size` and `max_bytes` allow."""
        if self.max_bytes is None:
            return self.max_size
        leaves = optree.tree_leaves(self.signature)
        own_bytes = _own_item_bytes(leaves)
        shared_bytes = _min_item_bytes(leaves) - own_bytes
        if not own_bytes:
            return self.max_size
        return min(self.max_size, (self.max_bytes - shared_bytes) // own_bytes)

    @property
    def full_bytes(self) -> int:
        """About how many bytes the items take when the table is full.

        For rows that items share, it counts `rows_per_item` new rows for each item, or
        all rows of the item if it has fewer.
        """
        leaves = optree.tree_leaves(self.signature)
        item_bytes = _own_item_bytes(leaves)
        new_bytes: dict[str, int] = {}  # By column.
        for leaf in leaves:
            if isinstance(leaf, Rows):
                num_new = min(self.rows_per_item, math.prod(leaf.lengths))
                known = new_bytes.get(leaf.column, 0)
                new_bytes[leaf.column] = max(known, num_new * _num_bytes(leaf.row))
        full = self.max_size * (item_bytes + sum(new_bytes.values()))
        return full if self.max_bytes is None else min(full, self.max_bytes)

    @classmethod
    def queue(cls, name: str, signature: NestedSpec, max_size: int) -> TableConfig:
        """Each item is sampled once, the oldest first; inserts wait while full."""
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
        """Each item is sampled once, the latest first; inserts wait while full."""
        return cls(
            name=name,
            signature=signature,
            max_size=max_size,
            sampler=Lifo(),
            rate_limiter=Stack(size=max_size),
            remover=Lifo(),
            max_times_sampled=1,
        )


def _own_item_bytes(leaves: list[specs.Array | Rows]) -> int:
    """Bytes that an item does not share: its arrays, and 8 for each row's id."""
    return sum(
        8 * math.prod(leaf.lengths) if isinstance(leaf, Rows) else _num_bytes(leaf)
        for leaf in leaves
    )


def _min_item_bytes(leaves: list[specs.Array | Rows]) -> int:
    """Bytes of the smallest possible item, all of whose rows are the same."""
    rows = {leaf.column: leaf.row for leaf in leaves if isinstance(leaf, Rows)}
    return _own_item_bytes(leaves) + sum(_num_bytes(row) for row in rows.values())


def _num_bytes(spec: specs.Array) -> int:
    num_bytes: int = spec.dtype.itemsize * math.prod(spec.shape)
    return num_bytes


# --- Deadlocks are refused -----------------------------------------------------------


def check_rate_limiter(table: TableConfig, limiter: RateLimiterConfig) -> None:
    """Refuses a limiter that waits for more items than the table can hold.

    Raises:
      ConfigError: `min_size` is larger than what `max_size` or `max_bytes` allow.
    """
    min_size = limiter.limits.min_size
    if table.max_size < min_size:
        raise ConfigError(
            f"table '{table.name}': max_size must be at least min_size = {min_size}: "
            f"{table.max_size}"
        )
    if table.max_items < min_size:
        raise ConfigError(
            f"table '{table.name}': max_bytes must be enough for min_size = {min_size} "
            f"items: {table.max_bytes}, which is enough for {table.max_items}"
        )


def impossible_sample(table: TableConfig, num_items: int) -> str | None:
    """Why the table can never return so many items in one sample, or None."""
    if num_items < 1:
        return (
            f"table '{table.name}': expected to sample at least 1 item, got {num_items}"
        )
    per_item = _max_per_sample(table)
    if per_item is not None and num_items > table.max_items * per_item:
        return (
            f"table '{table.name}': a sample of {num_items} items is more than its "
            f"{table.max_items} items can ever give at once"
        )
    return None


def check_sample_size(table: TableConfig, num_items: int) -> None:
    """Refuses a sample size with which samples and inserts can wait for each other.

    The check assumes that items are removed only because they were sampled often enough
    or evicted for `max_size`. It cannot know what callers delete, nor what `max_bytes`
    evicts when items share rows; either may leave fewer items than a sample needs.

    Args:
      table: the table to be sampled.
      num_items: size of each sample.

    Raises:
      ConfigError: `num_items` is below 1, or more than the table can ever give at once;
        or the limiter's window is too narrow for it; or inserts may wait while the
        items held cannot be sampled so often any more.
    """
    if (reason := impossible_sample(table, num_items)) is not None:
        raise ConfigError(reason)
    limiter = table.rate_limiter
    shortage = limiter.limits.shortage(num_items)
    if shortage is not None:
        remedy = f"widen it by {float(shortage):g}"
        if isinstance(limiter, SamplesPerInsert):
            needed = math.ceil(as_fraction(limiter.error_buffer) + shortage / 2)
            remedy = f"raise error_buffer from {limiter.error_buffer:g} to {needed}"
        raise ConfigError(
            f"table '{table.name}': its rate limiter's window is too narrow for a "
            f"sample of {num_items} items and the {float(limiter.limits.ratio):g} of "
            f"one insert, so both would wait for ever; {remedy}"
        )
    if _may_run_out(table, num_items):
        raise ConfigError(
            f"table '{table.name}': items that may be sampled "
            f"{table.max_times_sampled or 'any number of'} times are not enough for "
            f"samples of {num_items} items and {float(limiter.limits.ratio):g} samples "
            f"per insert, so both may come to wait for ever; sample at most min_size = "
            f"{limiter.limits.min_size} items at once, or raise it"
        )


def _may_run_out(table: TableConfig, num_items: int) -> bool:
    """Whether inserts may wait while the items held are too few for a sample.

    Inserts wait only when there are `min_size` items, each of which can be sampled once
    more. After an eviction, the items held can give `max_size` draws. Until inserts
    wait, the table gains as many items as it loses, except those of one insert.
    """
    per_item, limits = _max_per_sample(table), table.rate_limiter.limits
    if per_item is None or limits.max_diff is None or num_items <= limits.min_size:
        return False
    max_times = table.max_times_sampled
    if limits.runs_out(num_items, max_times, per_item):
        return True
    if max_times is None or max_times == 1:
        return False  # An eviction leaves a full table of items not sampled yet.
    if limits.ratio == max_times and limits.max_diff <= table.max_items:
        return False  # It never holds more than `max_diff` items, so it never evicts.
    num_remaining = math.floor(table.max_items - limits.ratio) + 1
    return num_remaining * per_item < num_items * max_times


def _max_per_sample(table: TableConfig) -> int | None:
    """How often one sample may contain the same item; None for no limit."""
    return 1 if not table.replacement else table.max_times_sampled


# --- Limits in a checkpoint ----------------------------------------------------------

_LIMITS = ("max_size", "max_bytes", "max_times_sampled", "replacement")
_LIMITERS = {
    kind.__name__: kind for kind in (MinSize, SamplesPerInsert, Queue, Stack, Raw)
}


def limits_to_json(config: TableConfig) -> dict[str, Any]:
    """A table's limits as JSON; only the class name if the limiter is not built in."""
    limiter: Any = config.rate_limiter
    kind = type(limiter).__name__
    settings = asdict(limiter) if _LIMITERS.get(kind) is type(limiter) else None
    values = {name: getattr(config, name) for name in _LIMITS}
    return values | {"limiter": kind, "settings": settings}


def with_limits(config: TableConfig, saved: dict[str, Any]) -> TableConfig:
    """A table with limits that `limits_to_json` returned.

    Raises:
      ConfigError: the saved limiter was not a built-in one.
    """
    if saved["settings"] is None:
        raise ConfigError(
            f"table '{config.name}': the checkpoint has no settings of its rate "
            f"limiter {saved['limiter']}; restore it with limits='code'"
        )
    limiter = _LIMITERS[saved["limiter"]](**saved["settings"])
    values = {name: saved[name] for name in _LIMITS}
    return replace(config, rate_limiter=limiter, **values)
