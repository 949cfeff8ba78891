"""What a replay table is, as data: its selectors, its rate limiter, its items."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.limiters import (
    Limits,
    MinSize,
    Queue,
    RateLimiterConfig,
    Raw,
    SamplesPerInsert,
    Stack,
    check_count,
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
        The powers p^e are cut at 1e200 and vanish below 1e-308, so priorities beyond
        that are not told apart, and those whose powers vanish count as zero.
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


BUILT_IN = (Uniform, Prioritized, Fifo, Lifo, MinHeap, MaxHeap)

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
      length: rows of an item, at least 1, on an axis before those of a row; or on so
        many such axes; None for one row, without such an axis.
    """

    column: str
    row: specs.Array
    length: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.row, specs.Array):
            raise ConfigError(
                f"Rows of column '{self.column}': expected row to be a specs.Array, "
                f"got {self.row!r}"
            )
        for length in self.lengths:
            check_count(f"Rows of column '{self.column}'", "length", length)

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
      max_bytes: what the items may take, at least the bytes of one; one goes when it is
        more. Rows that several of them share count once. None for no limit.
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
        for name in ("max_size", "max_times_sampled", "max_bytes"):
            value = getattr(self, name)
            if value is not None or name == "max_size":
                check_count(f"table '{self.name}'", name, value)
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
                f"table '{self.name}': expected max_bytes >= "
                f"{_least_bytes(leaves)}, the bytes of one item, got {self.max_bytes}"
            )
        check_rate_limiter(self, self.rate_limiter)

    @property
    def max_items(self) -> int:
        """How many items there can be, at best, with its limits of items and bytes."""
        if self.max_bytes is None:
            return self.max_size
        leaves = optree.tree_leaves(self.signature)
        each = _own_bytes(leaves)
        shared = _least_bytes(leaves) - each
        by_bytes = (self.max_bytes - shared) // each if each else self.max_size
        return min(self.max_size, by_bytes)

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
    min_size = limiter.limits.min_size
    if table.max_size < min_size:
        raise ConfigError(
            f"table '{table.name}': expected max_size >= min_size = {min_size}, "
            f"got {table.max_size}"
        )
    if table.max_items < min_size:
        raise ConfigError(
            f"table '{table.name}': expected max_bytes for at least min_size = "
            f"{min_size} items, got {table.max_bytes}, which holds {table.max_items}"
        )


def _own_bytes(leaves: list[specs.Array | Rows]) -> int:
    """What each item takes for itself: its arrays, and 8 bytes for each of its rows."""
    return sum(
        8 * math.prod(leaf.lengths) if isinstance(leaf, Rows) else _num_bytes(leaf)
        for leaf in leaves
    )


def _least_bytes(leaves: list[specs.Array | Rows]) -> int:
    """What one item takes at least: its rows may all be the same."""
    rows = {leaf.column: leaf.row for leaf in leaves if isinstance(leaf, Rows)}
    return _own_bytes(leaves) + sum(_num_bytes(row) for row in rows.values())


def _num_bytes(spec: specs.Array) -> int:
    num_bytes: int = spec.dtype.itemsize * math.prod(spec.shape)
    return num_bytes


def impossible_sample(table: TableConfig, num_items: int) -> str | None:
    """Why the table can never give so many items at once, or None."""
    if num_items < 1:
        return (
            f"table '{table.name}': expected to sample at least 1 item, got {num_items}"
        )
    each = _each(table)
    if each is not None and num_items > table.max_items * each:
        return (
            f"table '{table.name}': a sample of {num_items} items is more than its "
            f"{table.max_items} items can ever give at once"
        )
    return None


def check_sample_size(table: TableConfig, num_items: int) -> None:
    """Refuses samples that leave a table where neither they nor inserts can proceed.

    It takes nothing that can only wait, as long as items go because they were sampled
    or evicted for `max_size`. What callers delete, and what `max_bytes` evicts when
    items share rows, it cannot know: either may leave fewer items than a sample needs.

    Args:
      table: the table to be sampled.
      num_items: n, how many items each sample asks for at once.

    Raises:
      ConfigError: `num_items` is below 1, or more than the table can ever give at once,
        or the limiter's window is too narrow for it, or its inserts may come to wait
        when the items held can no longer be sampled so often.
    """
    if (reason := impossible_sample(table, num_items)) is not None:
        raise ConfigError(reason)
    limiter = table.rate_limiter
    shortage = limiter.limits.shortage(num_items)
    if shortage is not None:
        remedy = f"widen it by {float(shortage):g}"
        if isinstance(limiter, SamplesPerInsert):
            needed = math.ceil(exact(limiter.error_buffer) + shortage / 2)
            remedy = f"raise error_buffer from {limiter.error_buffer:g} to {needed}"
        raise ConfigError(
            f"table '{table.name}': its rate limiter's window is too narrow for a "
            f"sample of {num_items} items and the {float(limiter.limits.ratio):g} of "
            f"one insert, so both would wait for ever; {remedy}"
        )
    if _may_run_out(table, num_items):
        raise ConfigError(
            f"table '{table.name}': items that may be sampled "
            f"{table.max_times_sampled or 'any number of'} times do not suffice for "
            f"samples of {num_items} items and {float(limiter.limits.ratio):g} samples "
            f"per insert, so both may come to wait for ever; sample at most min_size = "
            f"{limiter.limits.min_size} items at once, or raise it"
        )


def _may_run_out(table: TableConfig, num_items: int) -> bool:
    """Whether inserts may wait while the items held are too few for a sample.

    They wait only when there are `min_size` items, each of which can be sampled once
    more. After an eviction, the items held can give `max_size` samples, and until
    inserts wait they gain as many as they lose, but for those of one insert.
    """
    each, limits = _each(table), table.rate_limiter.limits
    if each is None or limits.most is None or num_items <= limits.min_size:
        return False
    most = table.max_times_sampled
    if limits.runs_out(num_items, most, each):
        return True
    if most is None or most == 1:
        return False  # It is full when it evicts, and each can be sampled as often.
    if limits.ratio == most and limits.most <= table.max_items:
        return False  # It never holds more than `limits.most`, so it never evicts.
    left = math.floor(table.max_items - limits.ratio) + 1
    return left * each < num_items * most


def _each(table: TableConfig) -> int | None:
    """How often one sample may hold the same item; None for any number of times."""
    return 1 if not table.replacement else table.max_times_sampled


# What a checkpoint may say in the place of the code, besides the limiter.
_LIMITS = ("max_size", "max_bytes", "max_times_sampled", "replacement")
_LIMITERS = {
    kind.__name__: kind
    for kind in (
        MinSize,
        SamplesPerInsert,
        Queue,
        Stack,
        Raw,
    )
}


def limits_to_json(config: TableConfig) -> dict[str, Any]:
    """The limits of a table; of a limiter that is not one of ours, only its name."""
    limiter: Any = config.rate_limiter
    kind = type(limiter).__name__
    settings = asdict(limiter) if _LIMITERS.get(kind) is type(limiter) else None
    values = {name: getattr(config, name) for name in _LIMITS}
    return values | {"limiter": kind, "settings": settings}


def with_limits(config: TableConfig, saved: dict[str, Any]) -> TableConfig:
    """A table with the limits that were saved.

    Raises:
      ConfigError: its limiter was not one of ours.
    """
    if saved["settings"] is None:
        raise ConfigError(
            f"table '{config.name}': the checkpoint does not say what its rate limiter "
            f"{saved['limiter']} was; restore it with the limits of the code"
        )
    limiter = _LIMITERS[saved["limiter"]](**saved["settings"])
    values = {name: saved[name] for name in _LIMITS}
    return replace(config, rate_limiter=limiter, **values)
