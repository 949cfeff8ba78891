"""The engine `reverb`: a `reverb.Server` in this process, with the methods of `Table`.

Only this file imports reverb, and only when a replay node with this engine starts.
"""

from __future__ import annotations

import heapq
import queue
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optree

from acmelike.errors import ConfigError
from acmelike.replay.config import Prioritized, Rows, SelectorConfig, TableConfig
from acmelike.replay.limiters import RateLimiterConfig
from acmelike.replay.results import Sample, TableInfo
from acmelike.replay.storage.rows import Histories, SharedColumn
from acmelike.replay.tables.columns import (
    ItemBatch,
    StepColumns,
    check_columns,
    check_not_empty,
    check_structure,
    checked_leaf,
    find_rows,
    leaf_error,
)
from acmelike.replay.tables.table import (
    check_num_sampled,
    checked_keys,
    checked_priorities,
)
from acmelike.types import Array, Nested


def make_reverb_tables(
    configs: Sequence[TableConfig],
    shared: Mapping[str, SharedColumn],
    sample_timeout: float,
) -> dict[str, ReverbTable]:
    """Starts a server in this process; returns its tables, by name."""
    with warnings.catch_warnings():
        # TensorFlow and other packages of its age use deprecated functions.
        warnings.simplefilter("ignore")
        import reverb
    tables = [_make_table(reverb, config) for config in configs]
    server = reverb.Server(tables)
    return {
        config.name: ReverbTable(config, server, table, shared, sample_timeout)
        for config, table in zip(configs, tables, strict=True)
    }


class ReverbTable:
    """One table of a Reverb server, with the methods of `Table`.

    Only this node handles shared rows: Reverb gets each item with its rows in it.

    Args:
      config: of the table.
      server: kept here, since its tables exist only as long as the server.
      table: the server's table.
      shared: the shared columns, by name.
      sample_timeout: seconds that Reverb may take for a sample that its rate limiter
        allows.
    """

    def __init__(
        self,
        config: TableConfig,
        server: Any,
        table: Any,
        shared: Mapping[str, SharedColumn],
        sample_timeout: float,
    ):
        self._config, self._name, self._server = config, config.name, server
        self._table, self._shared = table, shared
        self._sample_timeout = sample_timeout
        self._client = server.localhost_client()
        self._writer = self._client.trajectory_writer(num_keep_alive_refs=1)
        self._specs, self._structure = optree.tree_flatten(config.signature)
        self._max_priority = 1.0
        # By key, how often an item that was sampled may still be sampled.
        self._remaining: dict[int, int] = {}

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        if self._table.can_insert(num_items):
            return None
        return f"Reverb's rate limiter: {self._counts()}"

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        if not self._table.can_sample(num_items):
            return f"Reverb's rate limiter: {self._counts()}"
        # Reverb's `can_sample` ignores how often items may still be sampled.
        if num_items > (num_remaining := self._num_remaining(num_items)):
            return f"{num_remaining} items left to sample, of {num_items}"
        return None

    def insert(
        self,
        items: Nested,
        priorities: Array | None = None,
        histories: Histories | None = None,
    ) -> Array:
        """As `Table.insert`, but the keys are not known: all are -1."""
        return self.admit(self.make_batch(items, priorities, histories))

    def make_batch(
        self,
        items: Nested,
        priorities: Array | None,
        histories: Histories | None,
        columns: StepColumns = None,
    ) -> ItemBatch:
        """As `Table.make_batch`."""
        leaves, structure = optree.tree_flatten(items)
        check_structure(self._name, structure, self._structure)
        check_columns(self._name, structure, self._specs, columns)
        num_items = len(leaves[0]) if np.ndim(leaves[0]) else 0
        check_not_empty(self._name, num_items)
        whole = []
        for index, (leaf, spec) in enumerate(zip(leaves, self._specs, strict=True)):
            try:
                leaf = self._with_rows(np.asarray(leaf), spec, num_items, histories)
            except ValueError as error:
                raise leaf_error(self._name, structure, index, error) from None
            whole.append(leaf)
        if priorities is not None:
            priorities = checked_priorities(self._name, priorities, num_items)
        return ItemBatch(whole, priorities)

    def admit(self, batch: ItemBatch) -> Array:
        """Stores as many of the leading items as the rate limiter allows."""
        num_admitted = 0
        while num_admitted < batch.num_items and self._table.can_insert(1):
            # One by one, as each changes what the limiter allows.
            self._insert_one(batch.part(num_admitted, num_admitted + 1))
            num_admitted += 1
        return np.full(num_admitted, -1)

    def sample(self, num_items: int) -> Sample:
        """Draws items; call it only if `blocks_sample` returned None.

        Raises:
          RuntimeError: Reverb did not return them in time.
        """
        check_num_sampled(self._name, num_items)
        drawn = self._draw(num_items)
        columns = zip(*(item.data for item in drawn), strict=True)
        leaves = [np.stack(column) for column in columns]
        infos = [item.info for item in drawn]
        self._count(infos)
        return Sample(
            data=optree.tree_unflatten(self._structure, leaves),
            keys=_column(infos, "key", np.uint64).view(np.int64),
            probabilities=_column(infos, "probability", np.float64),
            priorities=_column(infos, "priority", np.float64),
            times_sampled=_column(infos, "times_sampled", np.int32),
        )

    def update_priorities(self, keys: Array, priorities: Array) -> int:
        """Changes priorities; returns n, since Reverb does not say what it found."""
        keys = checked_keys(self._name, keys)
        priorities = checked_priorities(self._name, priorities, len(keys))
        updates = dict(
            zip(keys.view(np.uint64).tolist(), priorities.tolist(), strict=True)
        )
        self._client.mutate_priorities(self._name, updates=updates)
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))
        return len(keys)

    def delete(self, keys: Array) -> int:
        """Removes the items that are still held; returns how many."""
        before = self._table.info.current_size
        keys = checked_keys(self._name, keys)
        self._client.mutate_priorities(
            self._name, deletes=keys.view(np.uint64).tolist()
        )
        for key in keys.view(np.uint64).tolist():
            self._remaining.pop(key, None)
        removed: int = before - self._table.info.current_size
        return removed

    def reset(self) -> None:
        """Removes all items and sets the counters to zero."""
        self._client.reset(self._name)
        self._max_priority = 1.0
        self._remaining.clear()

    def info(self, num_prefetched: int = 0) -> TableInfo:
        """Statistics; the caller knows how many items were prefetched."""
        size, num_inserted, num_sampled = self._counters()
        item_bytes = sum(
            spec.dtype.itemsize * int(np.prod(spec.shape)) for spec in self._specs
        )
        return TableInfo(
            name=self._name,
            size=size,
            max_size=self._config.max_size,
            num_inserted=num_inserted,
            num_sampled=num_sampled,
            num_prefetched=num_prefetched,
            num_deleted=num_inserted - size,
            samples_per_insert=num_sampled / max(1, num_inserted),
            num_bytes=size * item_bytes,
            num_row_bytes=0,  # Reverb's items do not share rows.
            num_index_bytes=0,  # Reverb does not say.
        )

    def return_samples(self, keys: Array) -> None:
        """Does nothing: Reverb cannot uncount a sample."""

    def assign(self, *args: Any, **kwargs: Any) -> int:
        """Not supported by Reverb."""
        raise ConfigError(
            "the replay engine 'reverb' cannot change the contents of items"
        )

    def set_rate_limiter(self, config: RateLimiterConfig) -> None:
        """Not supported by Reverb."""
        raise ConfigError("the replay engine 'reverb' cannot change a rate limiter")

    # --- Private ---------------------------------------------------------------------

    def _num_remaining(self, num_items: int) -> int:
        """A lower bound of the draws that the items held still allow.

        Reverb does not report which items it evicts. If it evicted sampled items, the
        items held allow more draws than this bound. Each of them allows at least one.
        """
        max_times, size = self._config.max_times_sampled, self._table.info.current_size
        if max_times is None or num_items <= size:
            return num_items
        fewest = heapq.nsmallest(size, self._remaining.values())
        return int(sum(fewest) + max_times * (size - len(fewest)))

    def _count(self, infos: Sequence[Any]) -> None:
        if (max_times := self._config.max_times_sampled) is None:
            return
        for info in infos:
            self._remaining[info.key] = max_times - info.times_sampled
            if info.times_sampled == max_times:
                del self._remaining[info.key]
        if len(self._remaining) > 2 * self._config.max_size:
            # Some items were evicted. Without the entries that allow the most draws,
            # the lower bound stays the same.
            by_remaining = sorted(self._remaining.items(), key=lambda item: item[1])
            self._remaining = dict(by_remaining[: self._config.max_size])

    def _draw(self, num_items: int) -> list[Any]:
        """Draws in a thread of its own, since Reverb's samples have no deadline."""
        done: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def draw() -> None:
            try:
                items = self._client.sample(self._name, num_items, emit_timesteps=False)
                done.put(list(items))
            except Exception as error:
                done.put(error)

        threading.Thread(target=draw, name="Reverb's sample", daemon=True).start()
        try:
            drawn = done.get(timeout=self._sample_timeout)
        except queue.Empty:
            raise RuntimeError(
                f"table '{self._name}': Reverb returned no sample of {num_items} items "
                f"within {self._sample_timeout:g} s; {self._counts()}"
            ) from None
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    def _insert_one(self, item: ItemBatch) -> None:
        priority = self._max_priority
        if item.priorities is not None:
            priority = float(item.priorities[0])
            self._max_priority = max(self._max_priority, priority)
        self._writer.append([leaf[0] for leaf in item.leaves])
        whole = [column[-1] for column in self._writer.history]
        self._writer.create_item(self._name, priority, whole)
        self._writer.flush()

    def _with_rows(
        self, leaf: Array, spec: Any, num_items: int, histories: Histories | None
    ) -> Array:
        """A leaf `[n, ...]`, with rows in the place of the numbers of steps."""
        if not isinstance(spec, Rows):
            return checked_leaf(leaf, (num_items, *spec.shape), spec.dtype)
        numbers = checked_leaf(leaf, (num_items, *spec.lengths), np.int64)
        ids = find_rows(numbers, spec.column, histories or {})
        return self._shared[spec.column].take(ids)

    def _counters(self) -> tuple[int, int, int]:
        info = self._table.info
        limiter = info.rate_limiter_info
        return (
            info.current_size,
            limiter.insert_stats.completed,
            limiter.sample_stats.completed,
        )

    def _counts(self) -> str:
        size, num_inserted, num_sampled = self._counters()
        return f"{num_inserted} items inserted, {num_sampled} sampled, {size} held"


def _make_table(reverb: Any, config: TableConfig) -> Any:
    import tensorflow as tf

    limits = config.rate_limiter.limits
    largest = sys.float_info.max
    return reverb.Table(
        name=config.name,
        sampler=_make_selector(reverb, config.sampler),
        remover=_make_selector(reverb, config.remover),
        max_size=config.max_size,
        max_times_sampled=config.max_times_sampled or 0,
        rate_limiter=reverb.rate_limiters.RateLimiter(
            samples_per_insert=float(limits.ratio),
            min_size_to_sample=limits.min_size,
            min_diff=-largest if limits.min_diff is None else float(limits.min_diff),
            max_diff=largest if limits.max_diff is None else float(limits.max_diff),
        ),
        signature=[
            tf.TensorSpec(spec.shape, tf.as_dtype(np.dtype(spec.dtype)))
            for spec in optree.tree_leaves(config.signature)
        ],
    )


def _make_selector(reverb: Any, config: SelectorConfig) -> Any:
    if isinstance(config, Prioritized):
        return reverb.selectors.Prioritized(config.exponent)
    return getattr(reverb.selectors, type(config).__name__)()


def _column(infos: Sequence[Any], name: str, dtype: Any) -> Array:
    return np.array([getattr(info, name) for info in infos], dtype)
