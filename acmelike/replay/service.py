"""The replay service, and what stands at its two ends: a writer and batches."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import optree

from acmelike.core import Future, future, num_outstanding, when
from acmelike.errors import ConfigError
from acmelike.replay.config import TableConfig
from acmelike.replay.limits import RateLimiterConfig
from acmelike.replay.table import Sample, Table, TableInfo
from acmelike.types import Array, Nested


class Replay:
    """Tables that writers insert into and learners sample from.

    It also counts the environment steps that came with the inserts, so that whoever
    asks for progress sees what replay has acknowledged and nothing else. The guards
    know nothing of calls that are mistaken: they let them through, to raise.

    Args:
      tables: the tables, at least one, of different names.
      seed: of the random streams of all tables.

    Raises:
      ConfigError: there is no table, or two have the same name.
    """

    def __init__(self, tables: Sequence[TableConfig], *, seed: int):
        names = [table.name for table in tables]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"expected tables of different names, got {names}")
        seeds = np.random.SeedSequence(seed).spawn(len(tables))
        self._tables = {
            table.name: Table(table, table_seed)
            for table, table_seed in zip(tables, seeds, strict=True)
        }
        self._num_env_steps = 0
        self._stopped: str | None = None

    def _blocks_insert(
        self,
        table: str,
        items: Nested,
        priorities: Array | None = None,
        num_env_steps: int = 0,
    ) -> str | None:
        if table not in self._tables:
            return None
        if self._stopped is not None:
            return self._stopped
        return self._tables[table].limiter.blocks_insert(1)

    @when(_blocks_insert)
    def insert(
        self,
        table: str,
        items: Nested,
        priorities: Array | None = None,
        num_env_steps: int = 0,
    ) -> int:
        """Inserts as many of the leading items as the limiter allows, at least one.

        Waits while it allows none. The caller calls again with the rest.

        Args:
          table: the table's name.
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`; None for the largest priority so far, 1 at first.
          num_env_steps: environment steps taken for these items, counted in full
            however many of them are inserted.

        Returns:
          How many items were inserted.

        Raises:
          ValueError: an argument is not what it should be; nothing was changed.
        """
        target = self._table(table)
        if num_env_steps < 0:
            raise ValueError(f"expected num_env_steps >= 0, got {num_env_steps}")
        num_inserted = len(target.insert(items, priorities))
        self._num_env_steps += num_env_steps
        return num_inserted

    def _blocks_sample(self, table: str, num_items: int) -> str | None:
        if table not in self._tables or num_items < 1:
            return None
        return self._tables[table].blocks_sample(num_items)

    @when(_blocks_sample)
    def sample(self, table: str, num_items: int) -> Sample:
        """Draws `num_items` at once; waits until the limiter allows all of them.

        Args:
          table: the table's name.
          num_items: n, at least 1; `check_sample_size` says whether a limiter can allow
            it at all.

        Returns:
          n items in arrays of their own.

        Raises:
          ValueError: there is no such table, or `num_items` is below 1.
        """
        return self._table(table).sample(num_items)

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> int:
        """Changes priorities `[n]` of the items with `keys` `[n]` that are still held.

        Returns:
          How many of the keys are of items still held.

        Raises:
          ValueError: an argument is not what it should be; nothing was changed.
        """
        return self._table(table).update_priorities(keys, priorities)

    def _blocks_assign(
        self, table: str, keys: Array, items: Nested, priorities: Array
    ) -> str | None:
        return self._blocks_insert(table, items)

    @when(_blocks_assign)
    def assign(self, table: str, keys: Array, items: Nested, priorities: Array) -> int:
        """Puts other contents and priorities into items that are still held.

        It counts as no insert, but waits as one does.

        Args:
          table: the table's name.
          keys: `[n]` integers, none of them twice.
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`.

        Returns:
          How many of the keys are of items still held.

        Raises:
          ValueError: an argument is not what it should be; nothing was changed.
        """
        return self._table(table).assign(keys, items, priorities)

    def delete(self, table: str, keys: Array) -> int:
        """Removes the items with `keys` `[n]` that are still held; returns how many.

        Raises:
          ValueError: an argument is not what it should be; nothing was changed.
        """
        return self._table(table).delete(keys)

    def reset(self, table: str) -> None:
        """Empties a table, whose limiter begins to count again.

        Raises:
          ValueError: there is no such table.
        """
        self._table(table).reset()

    def set_rate_limiter(self, table: str, rate_limiter: RateLimiterConfig) -> None:
        """Puts another limiter in the place of a table's own; the counters stay.

        Calls that wait are tested again.

        Raises:
          ConfigError: it waits for more items than the table holds.
          ValueError: there is no such table.
        """
        self._table(table).set_rate_limiter(rate_limiter)

    def _blocks_past_env_steps(self, num: int) -> str | None:
        if self._num_env_steps >= num:
            return None
        return f"environment steps {self._num_env_steps} of {num}"

    @when(_blocks_past_env_steps)
    def past_env_steps(self, num: int) -> int:
        """Waits until `num` environment steps are counted, and returns the count."""
        return self._num_env_steps

    def num_env_steps(self) -> int:
        """The environment steps counted so far, over all tables."""
        return self._num_env_steps

    def stop_inserts(self, reason: str) -> None:
        """From now on every insert waits, for this reason; a run that ends uses it."""
        self._stopped = reason

    def info(self, table: str) -> TableInfo:
        """What a table holds and has done.

        Raises:
          ValueError: there is no such table.
        """
        return self._table(table).info()

    def infos(self) -> list[TableInfo]:
        """What every table holds and has done."""
        return [table.info() for table in self._tables.values()]

    def _table(self, name: str) -> Table:
        try:
            return self._tables[name]
        except KeyError:
            raise ValueError(
                f"expected a table of {sorted(self._tables)}, got '{name}'"
            ) from None


class Writer:
    """Inserts an actor's items into one table, all of them and in order.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
    """

    def __init__(self, replay: Replay, table: str):
        self._replay, self._table = replay, table
        self._held: deque[tuple[Nested, Array | None]] = deque()
        self._num_env_steps = 0

    def write(
        self,
        items: Nested | None,
        priorities: Array | None = None,
        *,
        num_env_steps: int,
    ) -> None:
        """Inserts items, and waits until every one of them is admitted.

        What could not be sent because an insert raised goes first the next time.

        Args:
          items: nest of `[m, ...]`, or None if the steps completed none.
          priorities: `[m]`; None for the largest priority so far.
          num_env_steps: taken since the last call; counted with the next items.
        """
        self._num_env_steps += num_env_steps
        if items is not None:
            self._held.append((items, priorities))
        while self._held:
            items, priorities = self._held[0]
            num_inserted = self._replay.insert(
                self._table, items, priorities, self._num_env_steps
            )
            self._num_env_steps = 0
            self._held.popleft()
            if num_inserted < len(optree.tree_leaves(items)[0]):
                rest = operator.itemgetter(slice(num_inserted, None))
                items = optree.tree_map(rest, items)
                priorities = None if priorities is None else rest(priorities)
                self._held.appendleft((items, priorities))


class Batches(Iterator[Sample]):
    """Samples of one table, one after the other, until it is closed.

    A caller that has work to do for a while asks for the next few with `prefetch`, and
    they come meanwhile. Under `serial` and outside a run nothing happens ahead of need.
    A batch counts as sampled when replay draws it.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
      batch_size: items in each sample.
      num_prefetch: samples to ask for ahead of need.

    Attributes:
      batch_size: items in each sample.

    Raises:
      ConfigError: `batch_size` is below 1 or `num_prefetch` below 0.
    """

    def __init__(
        self, replay: Replay, table: str, *, batch_size: int, num_prefetch: int = 2
    ):
        if batch_size < 1 or num_prefetch < 0:
            raise ConfigError(
                "expected batch_size >= 1 and num_prefetch >= 0, got "
                f"{batch_size} and {num_prefetch}"
            )
        self._replay, self._table, self.batch_size = replay, table, batch_size
        self._num_prefetch = num_prefetch
        self._outstanding: deque[Future[Sample]] = deque()
        self._is_closed = False

    def __next__(self) -> Sample:
        """Waits for the next sample.

        Raises:
          StopIteration: it was closed.
        """
        if self._is_closed:
            raise StopIteration
        if self._outstanding:
            return self._outstanding.popleft().result()
        return self._replay.sample(self._table, self.batch_size)

    def prefetch(self) -> None:
        """Asks for samples ahead of need, and does not wait for them."""
        while len(self._outstanding) < num_outstanding(self._num_prefetch):
            call = future(self._replay.sample)(self._table, self.batch_size)
            self._outstanding.append(call)

    def close(self) -> None:
        """Withdraws the samples that were asked for and not taken."""
        self._is_closed = True
        while self._outstanding:
            self._outstanding.popleft().cancel()
