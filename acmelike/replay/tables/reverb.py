"""The engine `reverb`: tables of a real `reverb.Server` behind the interface of ours.

The only file that imports reverb, when a replay node with this engine starts.
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
from acmelike.replay.config import (
    Prioritized,
    Rows,
    SelectorConfig,
    TableConfig,
)
from acmelike.replay.limiters import RateLimiterConfig
from acmelike.replay.results import Sample, TableInfo
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.tables.columns import Prepared, Windows, checked_leaf
from acmelike.replay.tables.table import checked_keys, checked_priorities
from acmelike.types import Array, Nested

# How long Reverb may take for a sample that it can give, in seconds.
SAMPLE_TIMEOUT = 60.0


def make_reverb_tables(
    configs: Sequence[TableConfig], shared: Mapping[str, SharedColumn]
) -> dict[str, ReverbTable]:
    """Starts a server in this process; its tables, by name."""
    with warnings.catch_warnings():
        # What packages of its time do is no longer done, and nobody can help it.
        warnings.simplefilter("ignore")
        import reverb
    tables = [_make_table(reverb, config) for config in configs]
    server = reverb.Server(tables)
    return {
        config.name: ReverbTable(config, server, table, shared)
        for config, table in zip(configs, tables, strict=True)
    }


class ReverbTable:
    """One table of a server; see `Table`, whose methods these are.

    Rows that items share are known to this node alone: Reverb gets items as they are
    sampled.

    Args:
      config: of the table.
      server: kept, as its tables live as long as it does.
      table: the server's.
      shared: columns of rows, by name.
    """

    def __init__(
        self,
        config: TableConfig,
        server: Any,
        table: Any,
        shared: Mapping[str, SharedColumn],
    ):
        self._config, self._name, self._server = config, config.name, server
        self._table, self._shared = table, shared
        self._client = server.localhost_client()
        self._writer = self._client.trajectory_writer(num_keep_alive_refs=1)
        self._specs, self._structure = optree.tree_flatten(config.signature)
        self._max_priority = 1.0
        # Of items that were sampled and may be again: how often, by key.
        self._left: dict[int, int] = {}

    def blocks_insert(self, num_items: int) -> str | None:
        """Why `num_items` cannot be inserted now, or None."""
        if self._table.can_insert(num_items):
            return None
        return f"Reverb's rate limiter: {self._counts()}"

    def blocks_sample(self, num_items: int) -> str | None:
        """Why `num_items` cannot be sampled now, or None."""
        if not self._table.can_sample(num_items):
            return f"Reverb's rate limiter: {self._counts()}"
        # Reverb does not look at how often its items may still be sampled.
        if num_items > (left := self._num_left(num_items)):
            return f"{left} items left to sample, of {num_items}"
        return None

    def insert(
        self,
        items: Nested,
        priorities: Array | None = None,
        windows: Windows | None = None,
    ) -> Array:
        """See `Table.insert`; the keys are not known."""
        return self.admit(self.prepared(items, priorities, windows))

    def prepared(
        self, items: Nested, priorities: Array | None, windows: Windows | None
    ) -> Prepared:
        """What `admit` takes."""
        leaves, structure = optree.tree_flatten(items)
        if structure != self._structure:
            raise ValueError(
                f"table '{self._name}': expected items of structure {self._structure}, "
                f"got {structure}"
            )
        num_items = len(leaves[0]) if np.ndim(leaves[0]) else 0
        if num_items == 0:
            raise ValueError(
                f"table '{self._name}': expected at least 1 item to insert, got 0"
            )
        made = []
        for index, (leaf, spec) in enumerate(zip(leaves, self._specs, strict=True)):
            try:
                made.append(self._whole(np.asarray(leaf), spec, num_items, windows))
            except ValueError as error:
                path = structure.accessors()[index].codify("items")
                raise ValueError(
                    f"table '{self._name}': expected {path} {error}"
                ) from None
        if priorities is not None:
            priorities = checked_priorities(self._name, priorities, num_items)
        return Prepared(made, priorities)

    def admit(self, items: Prepared) -> Array:
        """Stores as many of the leading items as the rate limiter allows."""
        num_admitted = 0
        while num_admitted < items.num_items and self._table.can_insert(1):
            # One after the other: the limiter is to see each before the next.
            self._insert_one(items.part(num_admitted, num_admitted + 1))
            num_admitted += 1
        return np.full(num_admitted, -1)

    def sample(self, num_items: int) -> Sample:
        """Draws items; the caller has asked `blocks_sample`.

        Raises:
          RuntimeError: Reverb did not give them in time.
        """
        if num_items < 1:
            raise ValueError(
                f"table '{self._name}': expected to sample at least 1 item, "
                f"got {num_items}"
            )
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
        """Changes priorities; Reverb does not say how many keys are of items held."""
        keys = checked_keys(self._name, keys)
        priorities = checked_priorities(self._name, priorities, len(keys))
        updates = dict(
            zip(keys.view(np.uint64).tolist(), priorities.tolist(), strict=True)
        )
        self._client.mutate_priorities(self._name, updates=updates)
        self._max_priority = max(self._max_priority, priorities.max(initial=0.0))
        return len(keys)

    def delete(self, keys: Array) -> int:
        """Removes items; returns how many."""
        before = self._table.info.current_size
        keys = checked_keys(self._name, keys)
        self._client.mutate_priorities(
            self._name, deletes=keys.view(np.uint64).tolist()
        )
        for key in keys.view(np.uint64).tolist():
            self._left.pop(key, None)
        removed: int = before - self._table.info.current_size
        return removed

    def reset(self) -> None:
        """Removes everything and begins to count again."""
        self._client.reset(self._name)
        self._max_priority = 1.0
        self._left.clear()

    def info(self, num_ahead: int = 0) -> TableInfo:
        """What the table holds and has done."""
        size, num_inserted, num_sampled = self._counted()
        item_bytes = sum(
            spec.dtype.itemsize * int(np.prod(spec.shape)) for spec in self._specs
        )
        return TableInfo(
            name=self._name,
            size=size,
            max_size=self._config.max_size,
            num_inserted=num_inserted,
            num_sampled=num_sampled,
            num_ahead=num_ahead,
            num_deleted=num_inserted - size,
            samples_per_insert=num_sampled / max(1, num_inserted),
            num_bytes=size * item_bytes,
            num_row_bytes=0,  # Reverb's items are whole.
            num_index_bytes=0,  # Reverb does not say.
        )

    def return_samples(self, keys: Array) -> None:
        """Reverb counts a sample for good."""

    def assign(self, *args: Any, **kwargs: Any) -> int:
        """Not possible."""
        raise ConfigError("Reverb cannot change the contents of items")

    def set_rate_limiter(self, config: RateLimiterConfig) -> None:
        """Not possible."""
        raise ConfigError("Reverb cannot change a rate limiter while it runs")

    # --- Inside ----------------------------------------------------------------------

    def _num_left(self, num_items: int) -> int:
        """How many samples the items held still allow, at least.

        Reverb does not say which items it evicts. If it evicted some that were sampled
        before, there may be more left than this, but never less than what is held.
        """
        most, size = self._config.max_times_sampled, self._table.info.current_size
        if most is None or num_items <= size:
            return num_items
        least = heapq.nsmallest(size, self._left.values())
        return int(sum(least) + most * (size - len(least)))

    def _count(self, infos: Sequence[Any]) -> None:
        if (most := self._config.max_times_sampled) is None:
            return
        for info in infos:
            self._left[info.key] = most - info.times_sampled
            if info.times_sampled == most:
                del self._left[info.key]
        if len(self._left) > 2 * self._config.max_size:
            # Some are gone. Without those of the most, as little is left as before.
            by_left = sorted(self._left.items(), key=lambda item: item[1])
            self._left = dict(by_left[: self._config.max_size])

    def _draw(self, num_items: int) -> list[Any]:
        """Reverb's samples have no deadline, so a thread waits for them."""
        done: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

        def draw() -> None:
            try:
                items = self._client.sample(self._name, num_items, emit_timesteps=False)
                done.put(list(items))
            except Exception as error:
                done.put(error)

        threading.Thread(target=draw, name="Reverb's sample", daemon=True).start()
        try:
            drawn = done.get(timeout=SAMPLE_TIMEOUT)
        except queue.Empty:
            raise RuntimeError(
                f"table '{self._name}': Reverb gave no sample of {num_items} items "
                f"within {SAMPLE_TIMEOUT:g} s; {self._counts()}"
            ) from None
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    def _insert_one(self, item: Prepared) -> None:
        priority = self._max_priority
        if item.priorities is not None:
            priority = float(item.priorities[0])
            self._max_priority = max(self._max_priority, priority)
        self._writer.append([leaf[0] for leaf in item.leaves])
        whole = [column[-1] for column in self._writer.history]
        self._writer.create_item(self._name, priority, whole)
        self._writer.flush()

    def _whole(
        self,
        leaf: Array,
        spec: Any,
        num_items: int,
        windows: Windows | None,
    ) -> Array:
        """A leaf with the rows that it refers to."""
        if not isinstance(spec, Rows):
            return checked_leaf(leaf, (num_items, *spec.shape), spec.dtype)
        numbers = checked_leaf(leaf, (num_items, *spec.lengths), np.int64)
        if not windows or spec.column not in windows:
            raise ValueError(
                f"to be of steps that were written, got none of '{spec.column}'"
            )
        ids = windows[spec.column].find(numbers)
        return self._shared[spec.column].take(ids)

    def _counted(self) -> tuple[int, int, int]:
        info = self._table.info
        limiter = info.rate_limiter_info
        return (
            info.current_size,
            limiter.insert_stats.completed,
            limiter.sample_stats.completed,
        )

    def _counts(self) -> str:
        size, num_inserted, num_sampled = self._counted()
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
            min_diff=-largest if limits.least is None else float(limits.least),
            max_diff=largest if limits.most is None else float(limits.most),
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
