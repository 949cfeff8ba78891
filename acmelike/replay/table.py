"""One table: its items in columns, its sampler and its rate limiter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import optree

from acmelike.replay.config import TableConfig
from acmelike.replay.rate_limiter import RateLimiter
from acmelike.replay.selectors import checked_priorities, make_selector
from acmelike.types import Array, Nested


class Sample(NamedTuple):
    """Items drawn from a table.

    Attributes:
      data: nest of `[n, ...]`, the items.
      keys: `[n]` int64, what `update_priorities` knows each item by.
      probabilities: `[n]` float64, how likely each draw was.
    """

    data: Nested
    keys: Array
    probabilities: Array


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """What a table holds and has done.

    Attributes:
      name: the table's name.
      size: items held.
      max_size: items that it can hold.
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_evicted: items evicted so far.
      samples_per_insert: items sampled per item inserted; 0 before the first insert.
      num_bytes: bytes of the arrays of the items held.
    """

    name: str
    size: int
    max_size: int
    num_inserted: int
    num_sampled: int
    num_evicted: int
    samples_per_insert: float
    num_bytes: int


class Table:
    """A ring of items, one array `[max_size, ...]` per leaf of the signature.

    The key of an item is the number of items inserted before it, and its slot is
    `key % max_size`: writing an item evicts the one that was there, the oldest. The
    table copies what it is given, and gives out copies.
    """

    def __init__(self, config: TableConfig, seed: int | np.random.SeedSequence):
        self.limiter = RateLimiter(config.rate_limiter)
        self._name, self._max_size = config.name, config.max_size
        self._specs, self._structure = optree.tree_flatten(config.signature)
        # Untouched pages of an empty array take no memory: it grows with use.
        self._columns = [
            np.empty((config.max_size, *spec.shape), spec.dtype) for spec in self._specs
        ]
        self._selector = make_selector(config.sampler, config.max_size)
        self._rng = np.random.default_rng(seed)
        self._max_priority = 1.0

    def insert(self, items: Nested, priorities: Array | None = None) -> Array:
        """Stores as many of the leading items as the rate limiter allows.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`; None for the largest priority so far, 1 at first.

        Returns:
          The keys of the items stored, `[m]` int64, m from 0 to n.

        Raises:
          ValueError: items or priorities, stored or not, are not what they should be;
            nothing was changed.
        """
        leaves, num_items = self._checked_leaves(items)
        if priorities is None:
            priorities = np.full(num_items, self._max_priority)
        try:
            priorities = checked_priorities(priorities, num_items)
        except ValueError as error:
            raise ValueError(f"table '{self._name}': {error}") from None

        num_admitted = self.limiter.num_admissible(num_items)
        if num_admitted == 0:
            return np.empty(0, np.int64)
        first_key = self.limiter.num_inserted
        keys = np.arange(first_key, first_key + num_admitted)
        self._evict(max(0, self._size + num_admitted - self._max_size))
        # Of more items than the table holds, the first are evicted by the last.
        kept = slice(max(0, num_admitted - self._max_size), num_admitted)
        slots = keys[kept] % self._max_size
        for column, leaf in zip(self._columns, leaves, strict=True):
            column[slots] = leaf[kept]
        self._selector.insert(slots, priorities[kept])
        self._see_priorities(priorities[:num_admitted])
        self.limiter.commit_inserts(num_admitted)
        return keys

    def sample(self, num_items: int) -> Sample:
        """Draws items and counts them; the caller has asked the limiter.

        Args:
          num_items: n, at least 1.

        Returns:
          n items in arrays of their own.

        Raises:
          ValueError: the table is empty or `num_items` is below 1.
        """
        if num_items < 1:
            raise ValueError(
                f"table '{self._name}': expected to sample at least 1 item, "
                f"got {num_items}"
            )
        slots, probabilities = self._selector.sample(num_items, self._rng)
        # The youngest key with this slot.
        last_key = self.limiter.num_inserted - 1
        keys = last_key - (last_key - slots) % self._max_size
        leaves = [column.take(slots, axis=0) for column in self._columns]
        self.limiter.commit_samples(num_items)
        return Sample(
            optree.tree_unflatten(self._structure, leaves), keys, probabilities
        )

    def update_priorities(self, keys: Array, priorities: Array) -> int:
        """Changes the priorities of the items that are still held.

        Args:
          keys: `[n]` integers from `insert` or `sample`; where one is repeated, its
            last priority wins.
          priorities: `[n]`.

        Returns:
          How many of the keys are of items still held.

        Raises:
          ValueError: a priority is negative or not finite, or the shapes differ;
            nothing was changed.
        """
        keys = np.asarray(keys)
        if keys.ndim != 1 or keys.dtype.kind not in "iu":
            raise ValueError(
                f"table '{self._name}': expected keys of integers with shape [n], "
                f"got {keys.dtype} {list(keys.shape)}"
            )
        try:
            priorities = checked_priorities(priorities, len(keys))
        except ValueError as error:
            raise ValueError(f"table '{self._name}': {error}") from None
        held = (keys >= self.limiter.num_deleted) & (keys < self.limiter.num_inserted)
        keys, priorities = keys[held].astype(np.int64), priorities[held]
        self._selector.update(keys % self._max_size, priorities)
        self._see_priorities(priorities)
        return len(keys)

    def info(self) -> TableInfo:
        """What the table holds and has done."""
        limiter = self.limiter
        return TableInfo(
            name=self._name,
            size=self._size,
            max_size=self._max_size,
            num_inserted=limiter.num_inserted,
            num_sampled=limiter.num_sampled,
            num_evicted=limiter.num_deleted,
            samples_per_insert=limiter.num_sampled / max(1, limiter.num_inserted),
            num_bytes=sum(column[: self._size].nbytes for column in self._columns),
        )

    @property
    def _size(self) -> int:
        return self.limiter.num_inserted - self.limiter.num_deleted

    def _evict(self, num_items: int) -> None:
        # Some of them may belong to the insert under way, and never get a slot.
        num_held = min(num_items, self._size)
        oldest = self.limiter.num_deleted + np.arange(num_held)
        self._selector.delete(oldest % self._max_size)
        self.limiter.commit_deletes(num_items)

    def _see_priorities(self, priorities: Array) -> None:
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))

    def _checked_leaves(self, items: Nested) -> tuple[list[Array], int]:
        leaves, structure = optree.tree_flatten(items)
        if structure != self._structure:
            raise ValueError(
                f"table '{self._name}': expected items of structure {self._structure}, "
                f"got {structure}"
            )
        leaves = [np.asarray(leaf) for leaf in leaves]
        num_items = leaves[0].shape[0] if leaves[0].ndim else 0
        for index, (leaf, spec) in enumerate(zip(leaves, self._specs, strict=True)):
            shape = (num_items, *spec.shape)
            if leaf.dtype != spec.dtype or leaf.shape != shape:
                path = structure.accessors()[index].codify("items")
                raise ValueError(
                    f"table '{self._name}': expected {path} to be {spec.dtype} "
                    f"{list(shape)}, got {leaf.dtype} {list(leaf.shape)}"
                )
        if num_items == 0:
            raise ValueError(
                f"table '{self._name}': expected at least 1 item to insert, got 0"
            )
        return leaves, num_items
