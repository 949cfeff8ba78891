"""One table: its items in columns, its selectors and its rate limiter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import optree

from acmelike.replay.config import Fifo, TableConfig, check_rate_limiter
from acmelike.replay.draw import draw_by_chance, draw_in_order
from acmelike.replay.limits import RateLimiterConfig
from acmelike.replay.rate_limiter import RateLimiter
from acmelike.replay.selectors import OrderedSelector, make_selector
from acmelike.replay.slots import Slots
from acmelike.types import Array, Nested


class Sample(NamedTuple):
    """Items drawn from a table.

    Attributes:
      data: nest of `[n, ...]`, the items.
      keys: `[n]` int64, what `update_priorities` and `delete` know each item by.
      probabilities: `[n]` float64, how likely each draw was.
      priorities: `[n]` float64.
      times_sampled: `[n]` int32, how often each item was drawn, these included.
    """

    data: Nested
    keys: Array
    probabilities: Array
    priorities: Array
    times_sampled: Array


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """What a table holds and has done.

    Attributes:
      name: the table's name.
      size: items held.
      max_size: items that it can hold.
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_deleted: items that are no longer held: evicted, deleted, or sampled as often
        as they may be.
      samples_per_insert: items sampled per item inserted; 0 before the first insert.
      num_bytes: bytes of the arrays of the items held.
    """

    name: str
    size: int
    max_size: int
    num_inserted: int
    num_sampled: int
    num_deleted: int
    samples_per_insert: float
    num_bytes: int


class Table:
    """Items in columns, one array `[num_slots, ...]` per leaf of the signature.

    The table copies what it is given, and gives out copies.
    """

    def __init__(self, config: TableConfig, seed: int | np.random.SeedSequence):
        self.limiter = RateLimiter(config.rate_limiter)
        self._config, self._name = config, config.name
        self._specs, self._structure = optree.tree_flatten(config.signature)
        self._rng = np.random.default_rng(seed)
        # The oldest may make way before a newer one comes; another only after it, as it
        # may be the newer one itself, which needs a slot meanwhile.
        self._is_fifo = isinstance(config.remover, Fifo)
        self._num_slots = config.max_size + (not self._is_fifo)
        # Untouched pages of an empty array take no memory: it grows with use.
        self._columns = [
            np.empty((self._num_slots, *spec.shape), spec.dtype) for spec in self._specs
        ]
        self._priorities = np.empty(self._num_slots)
        self._times_sampled = np.empty(self._num_slots, np.int32)
        self._slots = Slots(self._num_slots)
        self._begin()

    # --- Items come and go -----------------------------------------------------------

    def insert(self, items: Nested, priorities: Array | None = None) -> Array:
        """Stores as many of the leading items as the rate limiter allows.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`; None for the largest priority so far, 1 at first.

        Returns:
          The keys of the items stored, `[m]` int64, m from 0 to n. Some may be gone
          again already.

        Raises:
          ValueError: items or priorities, stored or not, are not what they should be;
            nothing was changed.
        """
        leaves, num_items = self._checked_leaves(items)
        if priorities is None:
            priorities = np.full(num_items, self._max_priority)
        priorities = self._checked_priorities(priorities, num_items)
        num_admitted = self.limiter.num_admissible(num_items)
        keys, start = [np.empty(0, np.int64)], 0
        while start < num_admitted:
            stop = min(start + self._num_at_once(), num_admitted)
            part = slice(start, stop)
            keys.append(self._store([leaf[part] for leaf in leaves], priorities[part]))
            start = stop
        self._see_priorities(priorities[:num_admitted])
        return np.concatenate(keys)

    def assign(self, keys: Array, items: Nested, priorities: Array) -> int:
        """Puts other contents and priorities into items that are still held.

        It counts as no insert, but needs the limiter's leave for one.

        Args:
          keys: `[n]` integers, none of them twice.
          items: nest of `[n, ...]` as the signature has it.
          priorities: `[n]`.

        Returns:
          How many of the keys are of items still held.

        Raises:
          ValueError: as from `insert`.
        """
        leaves, num_items = self._checked_leaves(items)
        keys = self._checked_keys(keys)
        if keys.shape != (num_items,) or len(np.unique(keys)) < num_items:
            raise ValueError(
                f"table '{self._name}': expected {num_items} different keys, one for "
                f"each item, got {keys.tolist()}"
            )
        priorities = self._checked_priorities(priorities, num_items)
        slots, is_held = self._slots.find(keys)
        for column, leaf in zip(self._columns, leaves, strict=True):
            column[slots[is_held]] = leaf[is_held]
        self._update(slots[is_held], priorities[is_held])
        return int(is_held.sum())

    def delete(self, keys: Array) -> int:
        """Removes the items with `keys` `[n]` that are still held; returns how many.

        Raises:
          ValueError: keys that are no integers; nothing was changed.
        """
        slots, is_held = self._slots.find(self._checked_keys(keys))
        slots = np.unique(slots[is_held])
        self._remove(slots)
        return len(slots)

    def reset(self) -> None:
        """Removes everything and begins to count again."""
        self._slots.clear()
        self._begin()
        self.limiter.reset()

    def set_rate_limiter(self, config: RateLimiterConfig) -> None:
        """Puts another limiter in the place of its own; the counters stay.

        Raises:
          ConfigError: it waits for more items than the table holds.
        """
        check_rate_limiter(self._config, config)
        self.limiter.set_limits(config)

    # --- Items are drawn -------------------------------------------------------------

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        blocked = self.limiter.blocks_sample(num_items)
        if blocked is not None:
            return blocked
        left = self._num_draws_left if self._has_quota else num_items
        if not self._config.replacement:
            left = self.limiter.size
        if num_items > left:
            return f"{left} items left to sample, of {num_items}"
        return None

    def sample(self, num_items: int) -> Sample:
        """Draws items and counts them; the caller has asked `blocks_sample`.

        Args:
          num_items: n, at least 1.

        Returns:
          n items in arrays of their own.

        Raises:
          ValueError: `num_items` is below 1.
        """
        if num_items < 1:
            raise ValueError(
                f"table '{self._name}': expected to sample at least 1 item, "
                f"got {num_items}"
            )
        slots, probabilities = self._draw(num_items)
        np.add.at(self._times_sampled, slots, 1)
        leaves = [column.take(slots, axis=0) for column in self._columns]
        sample = Sample(
            data=optree.tree_unflatten(self._structure, leaves),
            keys=self._slots.keys(slots),
            probabilities=probabilities,
            priorities=self._priorities.take(slots),
            times_sampled=self._times_sampled.take(slots),
        )
        self.limiter.commit_samples(num_items)
        self._num_draws_left -= num_items
        most = self._config.max_times_sampled
        if most is not None:
            self._remove(np.unique(slots[sample.times_sampled == most]))
        return sample

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
        keys = self._checked_keys(keys)
        priorities = self._checked_priorities(priorities, len(keys))
        slots, is_held = self._slots.find(keys)
        # `unique` finds first occurrences: in reverse, these are the last ones.
        slots, last = np.unique(slots[is_held][::-1], return_index=True)
        self._update(slots, priorities[is_held][::-1][last])
        return int(is_held.sum())

    def info(self) -> TableInfo:
        """What the table holds and has done."""
        limiter = self.limiter
        return TableInfo(
            name=self._name,
            size=limiter.size,
            max_size=self._config.max_size,
            num_inserted=limiter.num_inserted,
            num_sampled=limiter.num_sampled,
            num_deleted=limiter.num_deleted,
            samples_per_insert=limiter.num_sampled / max(1, limiter.num_inserted),
            num_bytes=limiter.size * sum(column[0].nbytes for column in self._columns),
        )

    # --- Inside ----------------------------------------------------------------------

    def _begin(self) -> None:
        """Everything that a reset forgets, but the limiter's counters and keys."""
        self._sampler = make_selector(self._config.sampler, self._num_slots)
        self._remover = make_selector(self._config.remover, self._num_slots)
        self._is_ordered = isinstance(self._sampler, OrderedSelector)
        self._has_quota = self._config.max_times_sampled is not None
        self._max_priority, self._num_draws_left = 1.0, 0

    def _num_at_once(self) -> int:
        """How many items can be stored before any has to make way, or while they do."""
        room = self._config.max_size - self.limiter.size
        return room or (self._config.max_size if self._is_fifo else 1)

    def _store(self, leaves: list[Array], priorities: Array) -> Array:
        """Stores admitted items and evicts as many as are then too many."""
        num_items = len(priorities)
        num_too_many = self.limiter.size + num_items - self._config.max_size
        if self._is_fifo and num_too_many > 0:
            assert isinstance(self._remover, OrderedSelector)
            self._remove(self._remover.first(num_too_many))
        slots = self._slots.take(num_items)
        keys = self._slots.keys(slots)
        for column, leaf in zip(self._columns, leaves, strict=True):
            column[slots] = leaf
        self._priorities[slots], self._times_sampled[slots] = priorities, 0
        self._sampler.insert(slots, priorities)
        self._remover.insert(slots, priorities)
        self.limiter.commit_inserts(num_items)
        self._num_draws_left += num_items * (self._config.max_times_sampled or 0)
        if not self._is_fifo and num_too_many > 0:
            self._remove(self._remover.sample(num_too_many, self._rng)[0])
        return keys

    def _remove(self, slots: Array) -> None:
        if not len(slots):
            return
        self._sampler.delete(slots)
        self._remover.delete(slots)
        self._slots.give_back(slots)
        self.limiter.commit_deletes(len(slots))
        if self._has_quota:
            self._num_draws_left -= int(self._quota(slots).sum())

    def _update(self, slots: Array, priorities: Array) -> None:
        self._priorities[slots] = priorities
        self._sampler.update(slots, priorities)
        self._remover.update(slots, priorities)
        self._see_priorities(priorities)

    def _draw(self, num_items: int) -> tuple[Array, Array]:
        if not self._has_quota and self._config.replacement:
            return self._sampler.sample(num_items, self._rng)
        if self._is_ordered:
            assert isinstance(self._sampler, OrderedSelector)
            return draw_in_order(self._sampler, num_items, self._quota_at_once)
        return draw_by_chance(
            self._sampler, num_items, self._quota_at_once, self._priorities, self._rng
        )

    def _quota(self, slots: Array) -> Array:
        """How often each may still be sampled."""
        assert self._config.max_times_sampled is not None
        return self._config.max_times_sampled - self._times_sampled.take(slots)

    def _quota_at_once(self, slots: Array) -> Array:
        """How often each may be in one sample."""
        if self._config.replacement:
            return self._quota(slots)
        return np.ones(len(slots), np.int64)

    def _see_priorities(self, priorities: Array) -> None:
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))

    def _checked_keys(self, keys: Array) -> Array:
        keys = np.asarray(keys)
        if keys.ndim != 1 or keys.dtype.kind not in "iu":
            raise ValueError(
                f"table '{self._name}': expected keys of integers with shape [n], "
                f"got {keys.dtype} {list(keys.shape)}"
            )
        return keys.astype(np.int64)

    def _checked_priorities(self, priorities: Array, num_items: int) -> Array:
        priorities = np.asarray(priorities, np.float64)
        if priorities.shape != (num_items,):
            raise ValueError(
                f"table '{self._name}': expected priorities of shape ({num_items},), "
                f"got {priorities.shape}"
            )
        usable = (priorities >= 0) & (priorities < np.inf)
        if not usable.all():
            raise ValueError(
                f"table '{self._name}': expected finite priorities >= 0, "
                f"got {priorities[np.argmin(usable)]}"
            )
        return priorities

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
