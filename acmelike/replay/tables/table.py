"""One table: its items in columns, its selectors and its rate limiter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from dm_env import specs

from acmelike.replay.config import Fifo, TableConfig, limits_to_json
from acmelike.replay.limiters import RateLimiter, RateLimiterConfig
from acmelike.replay.results import Sample, TableInfo
from acmelike.replay.selectors import Selector, is_ordered, make_selector
from acmelike.replay.selectors.base import draw
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.storage.snapshot import Arrays, RowSubset, Snapshot
from acmelike.replay.tables.columns import Contents, Ids, OwnColumn, Prepared, Windows
from acmelike.replay.tables.slots import Quotas, Slots
from acmelike.types import Array, Nested

_PRIORITY = specs.Array((), np.float64)


class Table:
    """Items in columns, one for each leaf of the signature.

    The table copies what it is given, and gives out copies.

    Args:
      config: what it is.
      seed: of its random stream.
      shared: the columns that its signature shares with others, by name.
    """

    def __init__(
        self,
        config: TableConfig,
        seed: int | np.random.SeedSequence,
        shared: Mapping[str, SharedColumn] | None = None,
    ):
        self.limiter = RateLimiter(config.rate_limiter)
        self._config, self._name = config, config.name
        self._rng = np.random.default_rng(seed)
        # The oldest may make way before a newer one comes; another only after it, as it
        # may be the newer one itself, which needs a slot meanwhile.
        self._is_fifo = isinstance(config.remover, Fifo)
        self._num_slots = config.max_size + (not self._is_fifo)
        self._contents = Contents(config, self._num_slots, shared or {})
        self.leaves = self._contents.leaves()
        self._priorities = OwnColumn(_PRIORITY, self._num_slots)
        self._quotas = Quotas(self._num_slots, config.max_times_sampled)
        self._slots = Slots(self._num_slots)
        self._begin()

    # --- Items come and go -----------------------------------------------------------

    def insert(
        self,
        items: Nested,
        priorities: Array | None = None,
        windows: Windows | None = None,
    ) -> Array:
        """Stores as many of the leading items as the rate limiter allows.

        Args:
          items: nest of `[n, ...]` as the signature has it, n at least 1; in the place
            of rows, the numbers of steps.
          priorities: `[n]`; None for the largest priority so far, 1 at first.
          windows: the steps that the numbers are of, by column.

        Returns:
          The keys of the items stored, `[m]` int64, m from 0 to n. Some may be gone
          again already.

        Raises:
          ValueError: items or priorities, stored or not, are not what they should be;
            nothing was changed.
        """
        return self.admit(self.prepared(items, priorities, windows))

    def prepared(
        self, items: Nested, priorities: Array | None, windows: Windows | None
    ) -> Prepared:
        """What `admit` takes; arguments and errors as of `insert`."""
        leaves, num_items = self._contents.prepared(items, windows)
        if priorities is not None:
            priorities = checked_priorities(self._name, priorities, num_items)
        return Prepared(leaves, priorities)

    def admit(self, items: Prepared) -> Array:
        """Stores as many of the leading items as the rate limiter allows."""
        num_admitted = self.limiter.num_admissible(items.num_items)
        keys, start = [np.empty(0, np.int64)], 0
        while start < num_admitted:
            stop = min(start + self._num_at_once(), num_admitted)
            keys.append(self._store(items.part(start, stop)))
            start = stop
        if items.priorities is not None:
            self._see_priorities(items.priorities[:num_admitted])
        return np.concatenate(keys)

    def assign(
        self,
        keys: Array,
        items: Nested,
        priorities: Array,
        windows: Windows | None = None,
    ) -> int:
        """Puts other contents and priorities into items that are still held.

        It counts as no insert, but needs the limiter's leave for one.

        Args:
          keys: `[n]` integers, none of them twice.
          items: nest of `[n, ...]` as for `insert`.
          priorities: `[n]`.
          windows: as for `insert`.

        Returns:
          How many of the keys are of items still held.

        Raises:
          ValueError: as from `insert`.
        """
        leaves, num_items = self._contents.prepared(items, windows)
        keys = checked_keys(self._name, keys)
        if keys.shape != (num_items,) or len(np.unique(keys)) < num_items:
            raise ValueError(
                f"table '{self._name}': expected {num_items} different keys, one for "
                f"each item, got {keys.tolist()}"
            )
        priorities = checked_priorities(self._name, priorities, num_items)
        slots, is_held = self._slots.find(keys)
        self._contents.drop(slots[is_held])
        self._contents.put(slots[is_held], [leaf[is_held] for leaf in leaves])
        self._update(slots[is_held], priorities[is_held])
        return int(is_held.sum())

    def delete(self, keys: Array) -> int:
        """Removes the items with `keys` `[n]` that are still held; returns how many.

        Raises:
          ValueError: keys that are no integers; nothing was changed.
        """
        slots = np.unique(self._slots.find_held(checked_keys(self._name, keys)))
        self._remove(slots)
        return len(slots)

    def reset(self) -> None:
        """Removes everything and begins to count again."""
        self._remove(self._slots.held())
        self._begin()
        self.limiter.reset()

    def set_rate_limiter(self, config: RateLimiterConfig) -> None:
        """Puts another limiter in the place of its own; the counters stay.

        Raises:
          ConfigError: it waits for more items than the table holds.
        """
        self._config = replace(self._config, rate_limiter=config)
        self.limiter.set_limits(config)

    # --- Items are drawn -------------------------------------------------------------

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        return self.limiter.blocks_insert(num_items)

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        blocked = self.limiter.blocks_sample(num_items)
        if blocked is not None:
            return blocked
        left = num_items if self._quotas.most is None else self._quotas.num_left()
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
        has_quota = self._quotas.most is not None or not self._config.replacement
        slots, probabilities = draw(
            self._sampler,
            num_items,
            self._quota_at_once if has_quota else None,
            self._priorities.values,
            self._rng,
        )
        self._quotas.count(slots)
        sample = Sample(
            data=self._contents.take(slots),
            keys=self._slots.keys(slots),
            probabilities=probabilities,
            priorities=self._priorities.take(slots),
            times_sampled=self._quotas.times(slots),
        )
        self.limiter.commit_samples(num_items)
        if self._quotas.most is not None:
            self._remove(np.unique(slots[sample.times_sampled == self._quotas.most]))
        return sample

    def update_priorities(self, keys: Array, priorities: Array) -> int:
        """Changes the priorities of the items that are still held, one after the other.

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
        keys = checked_keys(self._name, keys)
        priorities = checked_priorities(self._name, priorities, len(keys))
        slots, is_held = self._slots.find(keys)
        if np.count_nonzero(is_held) < len(keys):
            slots, priorities = slots[is_held], priorities[is_held]
        self._update(slots, priorities)
        return len(slots)

    def return_samples(self, keys: Array) -> None:
        """The items `[n]` of a sample that are still held count as not sampled."""
        # For samples of those that are gone, inserts would wait for ever.
        slots = self._slots.find_held(keys)
        self._quotas.count(slots, by=-1)
        self.limiter.commit_samples(-len(slots))

    def info(self, num_ahead: int = 0) -> TableInfo:
        """What the table holds and has done; how much of it ahead, its caller knows."""
        limiter = self.limiter
        return TableInfo(
            name=self._name,
            size=limiter.size,
            max_size=self._config.max_size,
            num_inserted=limiter.num_inserted,
            num_sampled=limiter.num_sampled,
            num_ahead=num_ahead,
            num_deleted=limiter.num_deleted,
            samples_per_insert=limiter.num_sampled / max(1, limiter.num_inserted),
            num_bytes=self._contents.num_bytes(limiter.size),
            num_row_bytes=self._contents.num_row_bytes(),
            num_index_bytes=self._num_index_bytes(),
        )

    # --- It is saved -----------------------------------------------------------------

    def begin_save(self, copies: Snapshot, prefix: str) -> dict[str, Any]:
        """Begins to copy all arrays as they are now, into files of a prefix.

        Returns:
          Facts for `load`.
        """
        slots = self._slots.chosen()
        begin_save_order(self._sampler, slots, copies, f"{prefix}-sampler")
        begin_save_order(self._remover, slots, copies, f"{prefix}-remover")
        self._priorities.begin_save(slots, copies, f"{prefix}-priorities")
        self._quotas.begin_save(slots, copies, f"{prefix}-times_sampled")
        self._contents.begin_save(slots, copies, prefix)
        return {
            "leaves": self.leaves,
            "next_key": self._slots.next_key(),
            "counters": self.limiter.counters(),
            "max_priority": self._max_priority,
            "random": self._rng.bit_generator.state,
            "limits": limits_to_json(self._config),
        }

    def load(self, facts: Mapping[str, Any], saved: Arrays, ids: Ids) -> None:
        """Fills a new table with what was saved; its own limits hold.

        Items have other keys than before. If they are too many, some go as usual.
        """
        priorities, times = saved("priorities"), saved("times_sampled")
        self._rng.bit_generator.state = facts["random"]
        order = saved("remover")
        kept = places_to_keep(self._config, order, priorities, times, self._rng)
        first_turn = -(-facts["next_key"] // self._num_slots)
        self._slots = Slots(self._num_slots, first_turn)
        slots = self._slots.take(len(kept))
        self._contents.load(slots, kept, saved, ids)
        self._priorities.put(slots, priorities[kept])
        self._quotas.begin(slots, times[kept])
        for selector, name in ((self._sampler, "sampler"), (self._remover, "remover")):
            in_order = slots_in_order(saved(name), kept, slots)
            selector.insert(in_order, self._priorities.take(in_order))
        self.limiter.restore(*facts["counters"])
        self.limiter.commit_deletes(len(priorities) - len(kept))
        self._remove_too_many_bytes()
        self._max_priority = facts["max_priority"]

    # --- Inside ----------------------------------------------------------------------

    def _begin(self) -> None:
        """Everything that a reset forgets, but the limiter's counters and keys."""
        self._sampler = make_selector(self._config.sampler, self._num_slots)
        self._remover = make_selector(self._config.remover, self._num_slots)
        self._max_priority = 1.0

    def _num_index_bytes(self) -> int:
        parts = (self._slots, self._quotas, self._sampler, self._remover)
        slot_bytes = sum(getattr(part, "slot_bytes", 0) for part in parts)
        slot_bytes += self._priorities.item_bytes
        return self.limiter.size * slot_bytes + self._contents.num_index_bytes()

    def _num_at_once(self) -> int:
        """How many items can be stored before any has to make way, or while they do."""
        room = self._config.max_size - self.limiter.size
        if self._is_fifo:
            return room or self._config.max_size
        # What takes too many bytes is known only after each.
        return room if room and self._config.max_bytes is None else 1

    def _store(self, items: Prepared) -> Array:
        """Stores admitted items and evicts as many as are then too many."""
        num_items, priorities = items.num_items, items.priorities
        if priorities is None:
            priorities = np.full(num_items, self._max_priority)
        num_too_many = self.limiter.size + num_items - self._config.max_size
        if self._is_fifo and num_too_many > 0:
            assert is_ordered(self._remover)
            self._remove(self._remover.first(num_too_many))
        slots = self._slots.take(num_items)
        keys = self._slots.keys(slots)
        self._contents.put(slots, items.leaves)
        self._priorities.put(slots, priorities)
        self._quotas.begin(slots)
        self._sampler.insert(slots, priorities)
        self._remover.insert(slots, priorities)
        self.limiter.commit_inserts(num_items)
        if not self._is_fifo and num_too_many > 0:
            self._remove(self._remover.sample(num_too_many, self._rng)[0])
        self._remove_too_many_bytes()
        return keys

    def _remove_too_many_bytes(self) -> None:
        most = self._config.max_bytes
        while most is not None and self._contents.num_bytes(self.limiter.size) > most:
            self._remove(self._remover.sample(1, self._rng)[0])

    def _remove(self, slots: Array) -> None:
        if not len(slots):
            return
        self._sampler.delete(slots)
        self._remover.delete(slots)
        self._contents.drop(slots)
        self._quotas.end(slots)
        self._slots.give_back(slots)
        self.limiter.commit_deletes(len(slots))

    def _update(self, slots: Array, priorities: Array) -> None:
        # Of a slot that is given twice, the last priority stays and is given twice.
        self._priorities.put(slots, priorities)
        priorities = self._priorities.take(slots)
        self._sampler.update(slots, priorities)
        self._remover.update(slots, priorities)
        self._see_priorities(priorities)

    def _quota_at_once(self, slots: Array) -> Array:
        """How often each may be in one sample."""
        if self._config.replacement:
            return self._quotas.left(slots)
        return np.ones(len(slots), np.int64)

    def _see_priorities(self, priorities: Array) -> None:
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))


def checked_keys(table: str, keys: Array) -> Array:
    """Keys as `[n]` int64.

    Raises:
      ValueError: they are something else.
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
    # Either place is that of a NaN if there is one.
    for place in (priorities.argmin(), priorities.argmax()) if num_items else ():
        if not 0 <= priorities[place] < np.inf:
            raise ValueError(
                f"table '{table}': expected finite priorities >= 0, "
                f"got {priorities[place]}"
            )
    return priorities


def begin_save_order(
    selector: Selector, slots: RowSubset, copies: Snapshot, name: str
) -> None:
    """Saves the order in which a selector got slots: their places among these.

    Of a selector that knows none, it is the order of the slots.
    """
    if is_ordered(selector):
        order = selector.insertion_order()
        copies.later(name, lambda: _places(order, slots))
    else:
        copies.later(name, lambda: np.arange(slots.num_rows))


def _places(order: Array, slots: RowSubset) -> Array:
    place_of = np.empty(slots.stop, np.int64)
    place_of[slots.rows()] = np.arange(slots.num_rows)
    return place_of[order[order >= 0]]


def places_to_keep(
    config: TableConfig,
    order: Array,
    priorities: Array,
    times_sampled: Array,
    rng: np.random.Generator,
) -> Array:
    """Which of the saved items a table keeps; the others go as usual.

    Those go that were sampled often enough, and then those that it has no room for.

    Args:
      config: of the table.
      order: `[n]`, in which its remover got them.
      priorities: `[n]`.
      times_sampled: `[n]`.
      rng: for a remover that picks by chance.

    Returns:
      Their places, ascending.
    """
    num_items = len(priorities)
    remover = make_selector(config.remover, num_items + 1)
    remover.insert(order, priorities[order])
    is_kept = np.ones(num_items, bool)
    if config.max_times_sampled is not None:
        is_kept = times_sampled < config.max_times_sampled
        remover.delete(np.flatnonzero(~is_kept))
    for _ in range(np.count_nonzero(is_kept) - config.max_size):
        gone, _ = remover.sample(1, rng)
        remover.delete(gone)
        is_kept[gone] = False
    return np.flatnonzero(is_kept)


def slots_in_order(order: Array, kept: Array, slots: Array) -> Array:
    """The slots in which items now are, in the order of their insertion.

    Args:
      order: of all items that were saved, their places.
      kept: `[n]`, places of those that are still there.
      slots: `[n]` in which these are.
    """
    slot_of = np.full(len(order), -1)
    slot_of[kept] = slots
    found: Array = slot_of[order]
    return found[found >= 0]
