"""The specification of a table: a list of items in plain Python, as the docs say."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache

from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Queue,
    RateLimiterConfig,
    Raw,
    SamplesPerInsert,
    SelectorConfig,
    TableConfig,
    Uniform,
)


@dataclass
class Item:
    """One item.

    Attributes:
      key: the key that the real table gave it.
      value: identifies its contents.
      priority: a whole number, and a square.
      touched: the time of its last insert or update.
      rows: the shared rows that it refers to.
      times_sampled: how often it was drawn.
    """

    key: int
    value: Hashable
    priority: int
    touched: int
    rows: Collection[Hashable] = ()
    times_sampled: int = 0


class ModelTable:
    """Items in a list, the oldest first; operations handle them one by one.

    Args:
      config: of the table.
      item_bytes: what an item takes, without shared rows.
      row_bytes: what a shared row takes.
    """

    def __init__(self, config: TableConfig, item_bytes: int, row_bytes: int = 0):
        self.config, self._item_bytes, self._row_bytes = config, item_bytes, row_bytes
        self.limiter = config.rate_limiter
        self._now = 0
        # By iterator that is not closed, the keys of every sample.
        self.drawn: dict[Hashable, list[list[int]]] = defaultdict(list)
        self.num_used: Counter[Hashable] = Counter()
        self.reset()

    def reset(self) -> None:
        for samples in self.drawn.values():
            samples[:] = [[] for _ in samples]
        self.items: list[Item] = []
        self.num_inserted = self.num_sampled = self.num_deleted = 0
        self.largest_priority = 1

    # --- What waits -----------------------------------------------------------------

    def can_insert(self, num_items: int) -> bool:
        min_size, ratio, _, most = _limits(self.limiter)
        inserted = self.num_inserted + num_items
        return (
            inserted - self.num_deleted <= min_size
            or inserted * ratio - self.num_sampled <= most
        )

    def can_sample(self, num_items: int) -> bool:
        min_size, ratio, least, _ = _limits(self.limiter)
        quota, size = self.config.max_times_sampled, len(self.items)
        if not self.config.replacement:
            left = size
        elif quota is not None:
            left = sum(quota - item.times_sampled for item in self.items)
        else:
            left = num_items
        diff = self.num_inserted * ratio - self.num_sampled - num_items
        return size >= min_size and diff >= least and num_items <= left

    def num_admissible(self, num_items: int) -> int:
        """How many of the leading items an insert admits now."""
        return max(n for n in range(num_items + 1) if n == 0 or self.can_insert(n))

    # --- Operations -----------------------------------------------------------------

    def insert(
        self,
        keys: Sequence[int],
        values: Sequence[Hashable],
        priorities: Sequence[int] | None,
        held: Collection[int],
        rows: Sequence[Collection[Hashable]] | None = None,
    ) -> None:
        """Inserts admitted items; `held` are the keys in the real table after it."""
        if priorities is None:
            priorities = [self.largest_priority] * len(keys)
        for k, key in enumerate(keys):
            item = Item(
                key, values[k], priorities[k], self._tick(), rows[k] if rows else ()
            )
            self.items.append(item)
            self.num_inserted += 1
            if len(self.items) > self.config.max_size:
                self._evict(held)
            most = self.config.max_bytes
            while most is not None and self.num_bytes() > most:
                self._evict(held)
        self._see(priorities[: len(keys)])

    def sample(
        self, keys: Sequence[int], iterator: Hashable | None = None
    ) -> list[Fraction]:
        """Applies a sample of these keys; returns the probability of each draw."""
        if iterator is not None:
            self.drawn[iterator].append(list(keys))
        drawn: Counter[int] = Counter()
        probabilities = []
        for key in keys:
            left = [item for item in self.items if self._may_be_drawn(item, drawn)]
            chances = _chances(self.config.sampler, left)
            assert chances.get(key, 0) > 0, f"{key} drawn of {chances}"
            probabilities.append(chances[key])
            drawn[key] += 1
        self.num_sampled += len(keys)
        for item in list(self.items):
            item.times_sampled += drawn[item.key]
            if item.times_sampled == self.config.max_times_sampled:
                self._remove(item)
        return probabilities

    def close(self, iterator: Hashable) -> None:
        """Items still held of samples not used count as not sampled."""
        for keys in self._not_used(iterator):
            for key in keys:
                for item in self._find([key]).values():
                    item.times_sampled -= 1
                    self.num_sampled -= 1
        self.drawn[iterator], self.num_used[iterator] = [], 0

    def update(self, updates: Sequence[tuple[int, int]]) -> int:
        """Changes priorities, given with keys, in order."""
        found = self._find([key for key, _ in updates])
        last = {key: (k, priority) for k, (key, priority) in enumerate(updates)}
        for key, (_, priority) in sorted(last.items(), key=lambda pair: pair[1]):
            if key in found:
                found[key].priority = priority
                found[key].touched = self._tick()
                self._see([priority])
        return sum(key in found for key, _ in updates)

    def assign(self, updates: Sequence[tuple[int, int]], values: Sequence[int]) -> int:
        found = self._find([key for key, _ in updates])
        for (key, _), value in zip(updates, values, strict=True):
            if key in found:
                found[key].value = value
        return self.update(updates)

    def delete(self, keys: Sequence[int]) -> int:
        found = self._find(keys)
        for item in found.values():
            self._remove(item)
        return len(found)

    # --- What the table holds -------------------------------------------------------

    def contents(self) -> dict[int, tuple[Hashable, int, int]]:
        return {
            item.key: (item.value, item.priority, item.times_sampled)
            for item in self.items
        }

    def rows(self) -> set[Hashable]:
        return {row for item in self.items for row in item.rows}

    def num_prefetched(self) -> int:
        return sum(len(k) for one in self.drawn for k in self._not_used(one))

    def num_bytes(self) -> int:
        rows = len(self.rows()) * self._row_bytes
        return len(self.items) * self._item_bytes + rows

    # --- Private --------------------------------------------------------------------

    def _evict(self, held: Collection[int]) -> None:
        """Evicts one item; of several possible ones, one that is not in `held`."""
        chances = _chances(self.config.remover, self.items)
        legal = [item for item in self.items if chances[item.key] > 0]
        if len(legal) > 1:
            legal = [item for item in legal if item.key not in held]
        assert legal, f"held are {held}, of {chances}"
        self._remove(legal[0])

    def _may_be_drawn(self, item: Item, drawn: Counter[int]) -> bool:
        if not self.config.replacement and drawn[item.key]:
            return False
        most = self.config.max_times_sampled
        return most is None or item.times_sampled + drawn[item.key] < most

    def _not_used(self, iterator: Hashable) -> list[list[int]]:
        return self.drawn[iterator][self.num_used[iterator] :]

    def _find(self, keys: Sequence[int]) -> dict[int, Item]:
        return {item.key: item for item in self.items if item.key in keys}

    def _remove(self, item: Item) -> None:
        self.items.remove(item)
        self.num_deleted += 1

    def _tick(self) -> int:
        self._now += 1
        return self._now

    def _see(self, priorities: Sequence[int]) -> None:
        self.largest_priority = max(self.largest_priority, *priorities, 0)


@cache
def _limits(limiter: RateLimiterConfig) -> tuple[int, Decimal, Decimal, Decimal]:
    """Minimum size, ratio, and the bounds of the difference, as exact decimals."""
    match limiter:
        case MinSize(min_size=size):
            return size, Decimal(1), Decimal("-inf"), Decimal("inf")
        case SamplesPerInsert(ratio=ratio, min_size=size, error_buffer=buffer):
            middle = _decimal(ratio) * size
            buffer = _decimal(buffer)
            return size, _decimal(ratio), middle - buffer, middle + buffer
        case Queue(size=size):
            return 1, Decimal(1), Decimal(0), Decimal(size)
        case Raw(samples_per_insert=ratio, min_size=size, min_diff=a, max_diff=b):
            return size, _decimal(ratio), _decimal(a), _decimal(b)
    raise AssertionError(limiter)


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _chances(selector: SelectorConfig, items: Sequence[Item]) -> dict[int, Fraction]:
    """The probability that each key is chosen."""
    match selector:
        case Fifo():
            return _certain(items, items[0])
        case Lifo():
            return _certain(items, items[-1])
        case MinHeap():
            first = min(items, key=lambda item: (item.priority, item.touched))
            return _certain(items, first)
        case MaxHeap():
            first = min(items, key=lambda item: (-item.priority, item.touched))
            return _certain(items, first)
        case Uniform():
            weights = [Fraction(1)] * len(items)
        case Prioritized(exponent=exponent):
            weights = [_power(item.priority, exponent) for item in items]
            if not any(weights):
                weights = [Fraction(1)] * len(items)
    total = sum(weights)
    pairs = zip(items, weights, strict=True)
    return {item.key: weight / total for item, weight in pairs}


def _certain(items: Sequence[Item], first: Item) -> dict[int, Fraction]:
    return {item.key: Fraction(item is first) for item in items}


def _power(priority: int, exponent: float) -> Fraction:
    """Exactly, since priorities are squares and exponents multiples of a half."""
    if priority == 0:
        return Fraction(0)
    return Fraction(math.isqrt(priority)) ** int(2 * exponent)
