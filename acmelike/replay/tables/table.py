"""One table: its items in columns, its selectors and its rate limiter."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay.config import Fifo, TableConfig, limits_to_json
from acmelike.replay.limiters import Queue, RateLimiter, RateLimiterConfig, Stack
from acmelike.replay.results import Sample, TableInfo
from acmelike.replay.selectors.base import Selector, draw, is_ordered
from acmelike.replay.selectors.make import make_selector
from acmelike.replay.storage.rows import Histories, SharedColumn
from acmelike.replay.storage.snapshot import Arrays, RowSubset, Snapshot
from acmelike.replay.tables.columns import (
    ArrayColumn,
    Columns,
    ItemBatch,
    NewIds,
    StepColumns,
)
from acmelike.replay.tables.slots import SampleCounts, Slots
from acmelike.types import Array, Nested

logger = logging.getLogger("acmelike")

_PRIORITY = specs.Array((), np.float64)


class Table:
    """Stores items in slots, with a column for each leaf of the signature.

    The table copies the arrays that it gets, and returns copies.

    Args:
      config: of the table.
      seed: of its random stream.
      shared: the shared columns that its signature names, by name.

    Attributes:
      leaf_kinds: describes each leaf of an item, as text, by the leaf's path.
    """

    def __init__(
        self,
        config: TableConfig,
        seed: int | np.random.SeedSequence,
        shared: Mapping[str, SharedColumn] | None = None,
    ):
        self._limiter = RateLimiter(config.rate_limiter)
        self._config, self._name = config, config.name
        self._rng = np.random.default_rng(seed)
        # Fifo evicts before the new item is stored. Any other remover may choose the
        # new item itself, which therefore needs a slot first.
        self._is_fifo = isinstance(config.remover, Fifo)
        self._num_slots = config.max_size + (not self._is_fifo)
        self._columns = Columns(config, self._num_slots, shared or {})
        self.leaf_kinds = self._columns.leaf_kinds()
        self._priorities = ArrayColumn(_PRIORITY, self._num_slots)
        self._counts = SampleCounts(self._num_slots, config.max_times_sampled)
        self._slots = Slots(self._num_slots)
        self._has_warned = False
        self._make_selectors()

    # --- Inserting, changing and removing items --------------------------------------

    def insert(
        self,
        items: Nested,
        priorities: Array | None = None,
        histories: Histories | None = None,
    ) -> Array:
        """Stores as many of the leading items as the rate limiter allows.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1. Leaves of
            `Rows` have the numbers of steps.
          priorities: `[n]`; None for the largest priority so far, 1 at first.
          histories: the steps of the writer, by column.

        Returns:
          The keys of the items stored, `[m]` int64, m from 0 to n. Some may have been
          evicted already.

        Raises:
          ValueError: items or priorities, stored or not, do not fit the table. Nothing
            was changed.
        """
        return self.admit(self.make_batch(items, priorities, histories))

    def make_batch(
        self,
        items: Nested,
        priorities: Array | None,
        histories: Histories | None,
        columns: StepColumns = None,
    ) -> ItemBatch:
        """Checks items for `admit`; arguments and errors are those of `insert`.

        `columns` are the column names that the writer gives; see `Items.columns`.
        """
        leaves, num_items = self._columns.encode(items, histories, columns)
        if priorities is not None:
            priorities = checked_priorities(self._name, priorities, num_items)
        return ItemBatch(leaves, priorities)

    def admit(self, batch: ItemBatch) -> Array:
        """Stores as many of the leading items as the rate limiter allows."""
        num_items = batch.num_items
        num_admitted = self._limiter.num_admissible(num_items)
        if num_items == num_admitted <= self._num_at_once():
            keys = self._store(batch)  # The usual case, and the fastest.
        else:
            parts, start = [np.empty(0, np.int64)], 0
            while start < num_admitted:
                stop = min(start + self._num_at_once(), num_admitted)
                parts.append(self._store(batch.part(start, stop)))
                start = stop
            keys = np.concatenate(parts)
        if batch.priorities is not None:
            self._update_max_priority(batch.priorities[:num_admitted])
        return keys

    def assign(
        self,
        keys: Array,
        items: Nested,
        priorities: Array,
        histories: Histories | None = None,
    ) -> int:
        """Replaces contents and priorities of items that are still held.

        It is not counted as an insert.

        Args:
          keys: `[n]` integers without repetition.
          items: nest of `[n, ...]` as for `insert`.
          priorities: `[n]`.
          histories: as for `insert`.

        Returns:
          How many of the keys belong to items still held.

        Raises:
          ValueError: as from `insert`, or keys repeat.
        """
        leaves, num_items = self._columns.encode(items, histories)
        keys = checked_keys(self._name, keys)
        if keys.shape != (num_items,) or len(np.unique(keys)) < num_items:
            raise ValueError(
                f"table '{self._name}': expected {num_items} different keys, one for "
                f"each item, got {keys.tolist()}"
            )
        priorities = checked_priorities(self._name, priorities, num_items)
        slots, is_held = self._slots.find(keys)
        self._columns.drop(slots[is_held])
        self._columns.put(slots[is_held], [leaf[is_held] for leaf in leaves])
        self._update(slots[is_held], priorities[is_held])
        return int(is_held.sum())

    def update_priorities(self, keys: Array, priorities: Array) -> int:
        """Changes the priorities of the items that are still held, in order.

        Args:
          keys: `[n]` integers from `insert` or `sample`; if a key repeats, its last
            priority wins.
          priorities: `[n]`.

        Returns:
          How many of the keys belong to items still held.

        Raises:
          ValueError: a priority is negative or not finite, or the shapes differ.
            Nothing was changed.
        """
        keys = checked_keys(self._name, keys)
        priorities = checked_priorities(self._name, priorities, len(keys))
        slots, is_held = self._slots.find(keys)
        if np.count_nonzero(is_held) < len(keys):
            slots, priorities = slots[is_held], priorities[is_held]
        self._update(slots, priorities)
        return len(slots)

    def delete(self, keys: Array) -> int:
        """Removes the items with `keys` `[n]` that are still held; returns how many.

        Raises:
          ValueError: keys are not integers. Nothing was changed.
        """
        slots = np.unique(self._slots.find_held(checked_keys(self._name, keys)))
        self._remove(slots)
        return len(slots)

    def reset(self) -> None:
        """Removes all items and sets the counters to zero."""
        self._remove(self._slots.held())
        self._make_selectors()
        self._limiter.reset()

    def set_rate_limiter(self, config: RateLimiterConfig) -> None:
        """Replaces the rate limiter; the counters stay.

        Raises:
          ConfigError: it waits for more items than the table can hold.
        """
        self._config = replace(self._config, rate_limiter=config)
        self._limiter.set_limits(config)

    # --- Sampling --------------------------------------------------------------------

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        return self._limiter.blocks_insert(num_items)

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        reason = self._limiter.blocks_sample(num_items)
        if reason is not None:
            return reason
        num_remaining = num_items
        if not self._config.replacement:
            num_remaining = self._limiter.size
        elif self._counts.max_times_sampled is not None:
            num_remaining = self._counts.total_remaining()
        if num_items > num_remaining:
            return f"{num_remaining} items left to sample, of {num_items}"
        return None

    def sample(self, num_items: int) -> Sample:
        """Draws and counts items; call it only if `blocks_sample` returned None.

        Args:
          num_items: n, at least 1.

        Returns:
          n items in new arrays.

        Raises:
          ValueError: `num_items` is below 1.
        """
        check_num_sampled(self._name, num_items)
        max_times = self._counts.max_times_sampled
        has_quota = max_times is not None or not self._config.replacement
        slots, probabilities = draw(
            self._sampler,
            num_items,
            self._max_per_sample if has_quota else None,
            self._priorities.values,
            self._rng,
        )
        self._counts.count(slots)
        sample = Sample(
            data=self._columns.take(slots),
            keys=self._slots.keys(slots),
            probabilities=probabilities,
            priorities=self._priorities.take(slots),
            times_sampled=self._counts.times_sampled(slots),
        )
        self._limiter.count_samples(num_items)
        if max_times is not None:
            self._remove(np.unique(slots[sample.times_sampled == max_times]))
        return sample

    def return_samples(self, keys: Array) -> None:
        """Counts the items `[n]` of a sample as not sampled, if they are still held.

        An item that is no longer held stays counted. It cannot be sampled again, so
        without its count inserts would wait for ever for its sample.
        """
        slots = self._slots.find_held(keys)
        self._counts.count(slots, by=-1)
        self._limiter.count_samples(-len(slots))

    # --- Looking at it ---------------------------------------------------------------

    def info(self, num_prefetched: int = 0) -> TableInfo:
        """Statistics; the caller knows how many items were prefetched."""
        limiter = self._limiter
        return TableInfo(
            name=self._name,
            size=limiter.size,
            max_size=self._config.max_size,
            num_inserted=limiter.num_inserted,
            num_sampled=limiter.num_sampled,
            num_prefetched=num_prefetched,
            num_deleted=limiter.num_deleted,
            samples_per_insert=limiter.num_sampled / max(1, limiter.num_inserted),
            num_bytes=self._columns.num_bytes(limiter.size),
            num_row_bytes=self._columns.num_row_bytes(),
            num_index_bytes=self._num_index_bytes(),
        )

    def dump(self) -> dict[str, Any]:
        """Everything that the table holds, as plain data, for tests and debuggers.

        Returns:
          `keys`, `priorities` and `times_sampled` of the items, lists `[size]`; `data`,
          a nest of `[size, ...]` in the same order; `sampler_order` and
          `remover_order`, the keys in the order in which an ordered selector chooses
          them, None for others; `num_remaining`, how many draws `max_times_sampled`
          still allows, or None; `max_priority`, which an insert without priorities
          gets; `counters` of items inserted, sampled and deleted; `random_state`; and
          `limits`, as a checkpoint has them.
        """
        slots = self._slots.held()
        has_limit = self._counts.max_times_sampled is not None
        return {
            "keys": self._slots.keys(slots).tolist(),
            "data": self._columns.take(slots),
            "priorities": self._priorities.take(slots).tolist(),
            "times_sampled": self._counts.times_sampled(slots).tolist(),
            "sampler_order": self._keys_in_order(self._sampler),
            "remover_order": self._keys_in_order(self._remover),
            "num_remaining": self._counts.total_remaining() if has_limit else None,
            "max_priority": self._max_priority,
            "counters": self._limiter.counters(),
            "random_state": self._rng.bit_generator.state,
            "limits": limits_to_json(self._config),
        }

    # --- Checkpoints -----------------------------------------------------------------

    def add_to_snapshot(self, snapshot: Snapshot, prefix: str) -> dict[str, Any]:
        """Adds all arrays as they are now, in files whose names begin with `prefix`.

        Returns:
          Metadata for `restore`.
        """
        held = self._slots.held_subset()
        _add_order(self._sampler, held, snapshot, f"{prefix}-sampler")
        _add_order(self._remover, held, snapshot, f"{prefix}-remover")
        self._priorities.add_to_snapshot(snapshot, held, f"{prefix}-priorities")
        self._counts.add_to_snapshot(snapshot, held, f"{prefix}-times_sampled")
        self._columns.add_to_snapshot(snapshot, held, prefix)
        return {
            "leaves": self.leaf_kinds,
            "next_key": self._slots.next_key(),
            "counters": self._limiter.counters(),
            "max_priority": self._max_priority,
            "random": self._rng.bit_generator.state,
            "limits": limits_to_json(self._config),
        }

    def restore(
        self, metadata: Mapping[str, Any], saved: Arrays, new_ids: NewIds
    ) -> None:
        """Fills a new table from a snapshot; the table keeps its own configured limits.

        Items get new keys. If there are more than the table can hold, the remover
        chooses which are dropped.

        Raises:
          ConfigError: items of a queue or a stack would be dropped.
        """
        priorities, times_sampled = saved("priorities"), saved("times_sampled")
        self._rng.bit_generator.state = metadata["random"]
        remover_order = saved("remover")
        kept = _choose_kept(
            self._config, remover_order, priorities, times_sampled, self._rng
        )
        is_queue = isinstance(self._config.rate_limiter, Queue | Stack)
        if is_queue and len(kept) < len(priorities):
            raise ConfigError(
                f"table '{self._name}': the checkpoint has {len(priorities)} items, of "
                f"which {len(kept)} fit; as a queue counts on all of them, samples and "
                f"inserts would wait for each other: enlarge it, or restore with "
                f"limits='checkpoint'"
            )
        self._slots = Slots(self._num_slots, metadata["next_key"])
        slots = self._slots.allocate(len(kept))
        self._columns.restore(slots, kept, saved, new_ids)
        self._priorities.put(slots, priorities[kept])
        self._counts.insert(slots, times_sampled[kept])
        orders = ((self._sampler, saved("sampler")), (self._remover, remover_order))
        for selector, order in orders:
            in_order = _slots_in_order(order, kept, slots)
            selector.insert(in_order, self._priorities.take(in_order))
        self._limiter.restore(*metadata["counters"])
        self._limiter.count_deletes(len(priorities) - len(kept))
        self._evict_bytes()
        self._max_priority = metadata["max_priority"]

    # --- Private ---------------------------------------------------------------------

    def _make_selectors(self) -> None:
        self._sampler = make_selector(self._config.sampler, self._num_slots)
        self._remover = make_selector(self._config.remover, self._num_slots)
        self._max_priority = 1.0

    def _num_index_bytes(self) -> int:
        parts = (self._slots, self._counts, self._sampler, self._remover)
        slot_bytes = sum(getattr(part, "slot_bytes", 0) for part in parts)
        slot_bytes += self._priorities.item_bytes
        return self._limiter.size * slot_bytes + self._columns.num_index_bytes()

    def _keys_in_order(self, selector: Selector) -> list[int] | None:
        if not is_ordered(selector):
            return None
        keys: list[int] = self._slots.keys(selector.first(self._limiter.size)).tolist()
        return keys

    def _num_at_once(self) -> int:
        """How many items `_store` can take at once."""
        room = self._config.max_size - self._limiter.size
        if self._is_fifo:
            return room or self._config.max_size
        # With `max_bytes`, each item that is stored may make an eviction necessary.
        return room if room and self._config.max_bytes is None else 1

    def _store(self, batch: ItemBatch) -> Array:
        """Stores admitted items, and evicts as many as exceed the limits."""
        num_items, priorities = batch.num_items, batch.priorities
        if priorities is None:
            priorities = np.full(num_items, self._max_priority)
        num_excess = self._limiter.size + num_items - self._config.max_size
        if self._is_fifo and num_excess > 0:
            assert is_ordered(self._remover)
            self._remove(self._remover.first(num_excess))
        slots = self._slots.allocate(num_items)
        keys = self._slots.keys(slots)
        self._columns.put(slots, batch.leaves)
        self._priorities.put(slots, priorities)
        self._counts.insert(slots)
        self._sampler.insert(slots, priorities)
        self._remover.insert(slots, priorities)
        self._limiter.count_inserts(num_items)
        if not self._is_fifo and num_excess > 0:
            self._remove(self._remover.sample(num_excess, self._rng)[0])
        self._evict_bytes()
        return keys

    def _evict_bytes(self) -> None:
        """Evicts items while they take more than `max_bytes`."""
        if (max_bytes := self._config.max_bytes) is None:
            return
        while self._columns.num_bytes(self._limiter.size) > max_bytes:
            self._remove(self._remover.sample(1, self._rng)[0])
            if not self._limiter.size and not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "table '%s': an item took more than max_bytes = %s by itself, so "
                    "it was evicted at once",
                    *(self._name, max_bytes),
                )

    def _remove(self, slots: Array) -> None:
        if not len(slots):
            return
        self._sampler.delete(slots)
        self._remover.delete(slots)
        self._columns.drop(slots)
        self._counts.delete(slots)
        self._slots.free(slots)
        self._limiter.count_deletes(len(slots))

    def _update(self, slots: Array, priorities: Array) -> None:
        # Where a slot repeats, its last priority is stored. Selectors then get that
        # priority each time.
        self._priorities.put(slots, priorities)
        priorities = self._priorities.take(slots)
        self._sampler.update(slots, priorities)
        self._remover.update(slots, priorities)
        self._update_max_priority(priorities)

    def _max_per_sample(self, slots: Array) -> Array:
        """How often one sample may contain each of slots `[n]`."""
        if self._config.replacement:
            return self._counts.remaining(slots)
        return np.ones(len(slots), np.int64)

    def _update_max_priority(self, priorities: Array) -> None:
        # Takes a third of the time of `priorities.max`.
        largest = np.maximum.reduce(priorities, initial=self._max_priority)
        self._max_priority = float(largest)


# --- The order of selectors, saved and restored --------------------------------------


def _add_order(
    selector: Selector, held: RowSubset, snapshot: Snapshot, name: str
) -> None:
    """Adds the order in which a selector got its slots, as positions among those held.

    For a selector without an order, it is the order of the slots.
    """
    if is_ordered(selector):
        order = selector.insertion_order()
        snapshot.add_deferred(name, lambda: _positions(order, held))
    else:
        snapshot.add_deferred(name, lambda: np.arange(held.num_rows))


def _positions(order: Array, held: RowSubset) -> Array:
    position_of = np.empty(held.stop, np.int64)
    position_of[held.rows()] = np.arange(held.num_rows)
    return position_of[order[order >= 0]]


def _choose_kept(
    config: TableConfig,
    remover_order: Array,
    priorities: Array,
    times_sampled: Array,
    rng: np.random.Generator,
) -> Array:
    """Positions of the saved items that a table keeps, `[m]` in ascending order.

    It drops items that were sampled `max_times_sampled` times. Then the remover chooses
    items to drop until `max_size` are left.

    Args:
      config: of the table.
      remover_order: `[n]` positions, in the order in which the remover got them.
      priorities: `[n]`.
      times_sampled: `[n]`.
      rng: for a remover that draws.
    """
    num_items = len(priorities)
    remover = make_selector(config.remover, num_items + 1)
    remover.insert(remover_order, priorities[remover_order])
    is_kept = np.ones(num_items, bool)
    if config.max_times_sampled is not None:
        is_kept = times_sampled < config.max_times_sampled
        remover.delete(np.flatnonzero(~is_kept))
    for _ in range(np.count_nonzero(is_kept) - config.max_size):
        evicted, _ = remover.sample(1, rng)
        remover.delete(evicted)
        is_kept[evicted] = False
    return np.flatnonzero(is_kept)


def _slots_in_order(order: Array, kept: Array, slots: Array) -> Array:
    """The slots `[m]` of restored items, in the order of their insertion.

    Args:
      order: `[n]` positions of all saved items, in the order of their insertion.
      kept: `[m]` positions of the items that were restored.
      slots: `[m]` where the restored items are.
    """
    slot_of = np.full(len(order), -1)
    slot_of[kept] = slots
    found: Array = slot_of[order]
    return found[found >= 0]


# --- Checks of what callers give -----------------------------------------------------


def checked_keys(table: str, keys: Array) -> Array:
    """Keys as `[n]` int64.

    Raises:
      ValueError: they are not integers, or have another rank.
    """
    keys = np.asarray(keys)
    if keys.ndim != 1 or keys.dtype.kind not in "iu":
        raise ValueError(
            f"table '{table}': expected keys of integers with shape [n], "
            f"got {keys.dtype} {list(keys.shape)}"
        )
    return keys.astype(np.int64, copy=False)


def checked_priorities(table: str, priorities: Array, num_items: int) -> Array:
    """Priorities as `[num_items]` float64.

    Raises:
      ValueError: they have another shape, or one is negative or not finite.
    """
    priorities = np.asarray(priorities, np.float64)
    if priorities.shape != (num_items,):
        raise ValueError(
            f"table '{table}': expected priorities of shape ({num_items},), "
            f"got {priorities.shape}"
        )
    # If there is a NaN, argmin and argmax both find it.
    for place in (priorities.argmin(), priorities.argmax()) if num_items else ():
        if not 0 <= priorities[place] < np.inf:
            raise ValueError(
                f"table '{table}': expected finite priorities >= 0, "
                f"got {priorities[place]}"
            )
    return priorities


def check_num_sampled(table: str, num_items: int) -> None:
    """Refuses a sample of no items.

    Raises:
      ValueError: names the table.
    """
    if num_items < 1:
        raise ValueError(
            f"table '{table}': expected to sample at least 1 item, got {num_items}"
        )
