"""The replay service: the calls that nodes make, and what each call waits for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from acmelike.core import concurrent, idempotent, when
from acmelike.core.status import memory_limit
from acmelike.errors import ConfigError
from acmelike.replay.checkpoints.reader import newest_checkpoint
from acmelike.replay.checkpoints.writer import CheckpointManager, check_num_keep
from acmelike.replay.config import TableConfig, impossible_sample
from acmelike.replay.limiters import RateLimiterConfig
from acmelike.replay.message import EpisodeEnd, Message
from acmelike.replay.results import EpisodeInfo, Sample, TableInfo
from acmelike.replay.service.sample_cursors import (
    PendingSample,
    SampleCursor,
    SampleCursors,
)
from acmelike.replay.service.writer_sessions import WriterSessions
from acmelike.replay.storage.rows import make_shared_columns
from acmelike.replay.tables.engine import AnyTable, Engine, check_engine, make_tables
from acmelike.replay.tables.table import Table
from acmelike.types import Array, Nested

logger = logging.getLogger("acmelike")

# The number of latest episodes that the mean return is over.
_NUM_EPISODES = 100
# The share of memory that tables take without a warning; other nodes need some too.
_MEMORY_SHARE = 0.5


class Replay:
    """Holds tables that writers insert into and learners sample from.

    Replay also counts environment steps. Writers report these with their items, so the
    count has exactly the steps whose items replay has accepted. Steps that gave no
    items for a long time are reported, and counted, without items.

    A call does not wait but raises if it names an unknown table or asks for a sample
    that can never exist. Other arguments are checked when the call may proceed.

    Args:
      tables: the tables, at least one, with different names.
      seed: of the random streams of all tables.
      restore: a folder of checkpoints; the newest complete one is restored. None, or a
        folder without a checkpoint, gives empty tables.
      limits: "code" if restored tables keep the limits in `tables`, "checkpoint" if
        they get the saved limits.
      engine: "own", or "reverb" for the tables of a Reverb server; Reverb has to be
        installed.
      max_writers: how many writers are remembered, with the steps that their items may
        still refer to. The writer whose last message is the oldest is forgotten first.
      max_cursors: how many iterators are remembered, with the samples that they have
        drawn and not used yet.
      part_bytes: how much of a checkpoint one call copies. The default of 4 MB takes
        some ten milliseconds, in which all other calls wait.
      may_exceed_memory: whether full tables may take more than this machine's memory.

    Raises:
      ConfigError: there is no table, or two have the same name; or an argument is out
        of its range; or the tables are too large for this machine; or the checkpoint
        has other tables or other signatures, or more items than a queue holds.
      CheckpointDamaged: there are checkpoints, but none is complete.
    """

    def __init__(
        self,
        tables: Sequence[TableConfig],
        *,
        seed: int,
        restore: str | None = None,
        limits: Literal["code", "checkpoint"] = "code",
        engine: Engine = "own",
        max_writers: int = 1000,
        max_cursors: int = 100,
        part_bytes: int = 1 << 22,
        may_exceed_memory: bool = False,
    ):
        names = [table.name for table in tables]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"expected tables of different names, got {names}")
        for name, value in (
            ("max_writers", max_writers),
            ("max_cursors", max_cursors),
            ("part_bytes", part_bytes),
        ):
            if value < 1:
                raise ConfigError(f"replay: {name} must be at least 1: {value}")
        if limits not in ("code", "checkpoint"):
            raise ConfigError(
                f"replay: limits must be 'code' or 'checkpoint': {limits!r}"
            )
        check_engine(engine, tables, restore)
        saved = None if restore is None else newest_checkpoint(Path(restore))
        if saved is not None and limits == "checkpoint":
            tables = saved.with_limits(tables)
        if (warning := check_memory(tables, may_exceed_memory)) is not None:
            logger.warning("%s", warning)
        self._configs = {table.name: table for table in tables}
        self._columns = make_shared_columns(tables)
        self._tables = make_tables(engine, tables, self._columns, seed)
        self._writers = WriterSessions(
            self._tables, self._columns, max_writers=max_writers
        )
        self._cursors = SampleCursors(max_cursors)
        self._num_env_steps, self._num_episodes, self._num_dropped = 0, 0, 0
        self._last_episodes = deque[EpisodeEnd](maxlen=_NUM_EPISODES)
        self._checkpoints, self._part_bytes = CheckpointManager(), part_bytes
        if saved is not None:
            saved.restore(self._own_tables(), self._columns)
            self._writers.restore(saved.metadata["writers"])
            self._num_env_steps = saved.metadata["num_env_steps"]
            self._num_episodes = saved.metadata["num_episodes"]
            # It is not in every checkpoint of this format.
            self._num_dropped = saved.metadata.get("num_dropped_episodes", 0)
        self._stop_reason: str | None = None

    # --- Writing ---------------------------------------------------------------------

    def _blocks_write(self, message: Message) -> str | None:
        return self._stop_reason or self._writers.blocks(message)

    @idempotent
    @when(_blocks_write)
    def write(self, message: Message) -> int:
        """Receives a writer's steps, and inserts the items that refer to them.

        Items are inserted in order, as many as their rate limiters allow; the call
        waits while they allow none. The writer calls again, with the message or its
        continuation, until all are inserted. A message that was received before is not
        received again, unless its writer was forgotten since (see `WriterSessions`) or
        replay was restarted without it.

        Returns:
          How many of its items have been inserted, by this call and earlier ones.

        Raises:
          ValueError: something does not fit a column or a table, or another writer has
            the name of this one now. Nothing was changed.
        """
        is_new = self._writers.receive(message)
        if is_new:
            self._num_env_steps += message.num_env_steps
            ended = [one for one in message.episodes if not one.is_dropped]
            self._num_episodes += len(ended)
            self._num_dropped += len(message.episodes) - len(ended)
            self._last_episodes.extend(ended)
        return self._writers.admit(message)

    # Not idempotent: a late repetition would take the name from a later writer.
    def replace_writer(self, name: str, writer: int) -> int:
        """Lets a writer take the place of the one that had this name.

        Messages of the old writer that are read after this are refused. The items that
        it had inserted stay. With this call, a restarted actor in lock-step finds out
        which items are missing.

        Returns:
          The version of the parameters with which the last items of a writer of this
          name were collected; -1 if there are none.

        Raises:
          ValueError: only some items of the old writer's last message are inserted.
        """
        return self._writers.replace(name, writer)

    def close_writer(self, writer: int) -> None:
        """Drops the remaining items of a writer; releases steps only it referred to."""
        self._writers.close(writer)

    def _blocks_insert(
        self,
        table: str,
        items: Nested,
        priorities: Array | None = None,
        num_env_steps: int = 0,
    ) -> str | None:
        if table not in self._tables:
            return None
        if self._stop_reason is not None:
            return self._stop_reason
        return self._tables[table].blocks_insert(1)

    @when(_blocks_insert)
    def insert(
        self,
        table: str,
        items: Nested,
        priorities: Array | None = None,
        num_env_steps: int = 0,
    ) -> int:
        """Inserts as many of the leading items as the limiter allows, at least one.

        Waits while it allows none. The caller calls again with the remaining items.

        Args:
          table: the table's name.
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`; None for the largest priority so far, 1 at first.
          num_env_steps: environment steps taken for these items. All are counted, even
            if only some of the items are inserted.

        Returns:
          How many items were inserted.

        Raises:
          ValueError: an argument does not fit the table. Nothing was changed.
        """
        target = self._table(table)
        if num_env_steps < 0:
            raise ValueError(f"expected num_env_steps >= 0, got {num_env_steps}")
        num_inserted = len(target.insert(items, priorities))
        self._num_env_steps += num_env_steps
        return num_inserted

    @idempotent
    def stop_inserts(self, reason: str) -> None:
        """Makes every later insert wait, for this reason; called when a run ends."""
        self._stop_reason = reason

    # --- Sampling --------------------------------------------------------------------

    def _blocks_sample(
        self, table: str, num_items: int, cursor: SampleCursor | None = None
    ) -> str | None:
        if table not in self._tables or self._sample_error(table, num_items):
            return None
        return self._tables[table].blocks_sample(num_items)

    @when(_blocks_sample)
    def sample(
        self, table: str, num_items: int, cursor: SampleCursor | None = None
    ) -> Sample:
        """Draws `num_items` at once; waits until the limiter allows all of them.

        Args:
          table: the table's name.
          num_items: n, at least 1. `check_sample_size` says whether the limiter can
            allow it at all.
          cursor: of an iterator that may draw ahead of need.

        Returns:
          n items in new arrays.

        Raises:
          ValueError: there is no such table, or `num_items` is below 1 or more than
            the table can ever give at once.
        """
        target = self._table(table)
        if (error := self._sample_error(table, num_items)) is not None:
            raise ValueError(error)
        sample = target.sample(num_items)
        if cursor is not None:
            self._cursors.add(cursor, PendingSample(table, sample.keys))
        return sample

    def close_cursor(self, cursor: SampleCursor) -> None:
        """Returns the samples that an iterator has drawn and will not use.

        Their items count as not sampled, if they are still held. An item that is gone,
        for example because it was sampled `max_times_sampled` times, stays counted.
        Samples drawn before a reset are not counted any more. An unknown iterator is
        ignored.
        """
        for sample in self._cursors.close(cursor):
            self._tables[sample.table].return_samples(sample.keys)

    # --- Changing items --------------------------------------------------------------

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> int:
        """Sets priorities `[n]` of the items with `keys` `[n]` that are still held.

        Returns:
          How many of the keys belong to items still held.

        Raises:
          ValueError: an argument does not fit the table. Nothing was changed.
        """
        return self._table(table).update_priorities(keys, priorities)

    def _blocks_assign(
        self, table: str, keys: Array, items: Nested, priorities: Array
    ) -> str | None:
        return self._blocks_insert(table, items)

    @when(_blocks_assign)
    def assign(self, table: str, keys: Array, items: Nested, priorities: Array) -> int:
        """Replaces contents and priorities of items that are still held.

        It is not counted as an insert, but waits while one insert would. An item whose
        key is not held is not inserted. Tables with `Rows` cannot be changed this way,
        since their rows come from a writer.

        Args:
          table: the table's name.
          keys: `[n]` integers without repetition.
          items: nest of `[n, ...]` as the signature has it, n at least 1.
          priorities: `[n]`.

        Returns:
          How many of the keys belong to items still held.

        Raises:
          ValueError: an argument does not fit the table. Nothing was changed.
        """
        return self._table(table).assign(keys, items, priorities)

    def delete(self, table: str, keys: Array) -> int:
        """Removes the items with `keys` `[n]` that are still held; returns how many.

        Raises:
          ValueError: an argument does not fit the table. Nothing was changed.
        """
        return self._table(table).delete(keys)

    def reset(self, table: str) -> None:
        """Removes all items of a table and sets its limiter's counters to zero.

        Samples that iterators have drawn from it are dropped too.

        Raises:
          ValueError: there is no such table.
        """
        self._table(table).reset()
        self._cursors.reset(table)

    def set_rate_limiter(self, table: str, rate_limiter: RateLimiterConfig) -> None:
        """Replaces a table's rate limiter; the counters stay.

        Calls that wait are checked again, against the new limiter.

        Raises:
          ConfigError: it waits for more items than the table can hold.
          ValueError: there is no such table.
        """
        self._table(table).set_rate_limiter(rate_limiter)

    # --- Looking at it ---------------------------------------------------------------

    def _blocks_past_env_steps(self, num: int) -> str | None:
        if self._num_env_steps >= num:
            return None
        return f"environment steps {self._num_env_steps} of {num}"

    @idempotent
    @when(_blocks_past_env_steps)
    def past_env_steps(self, num: int) -> int:
        """Waits until `num` environment steps are counted; returns the count."""
        return self._num_env_steps

    @idempotent
    def num_env_steps(self) -> int:
        """The environment steps counted so far, over all tables."""
        return self._num_env_steps

    @idempotent
    def episodes(self) -> EpisodeInfo:
        """Statistics of the episodes that have ended, as the writers reported them."""
        last = self._last_episodes
        if not last:
            return EpisodeInfo(self._num_episodes, None, None, None, self._num_dropped)
        num_steps = sum(episode.num_steps for episode in last)
        return EpisodeInfo(
            self._num_episodes,
            sum(episode.total_reward for episode in last) / len(last),
            num_steps / len(last),
            sum(episode.num_clipped for episode in last) / max(num_steps, 1),
            self._num_dropped,
        )

    @idempotent
    def info(self, table: str) -> TableInfo:
        """Statistics of a table.

        Raises:
          ValueError: there is no such table.
        """
        return self._table(table).info(self._cursors.num_prefetched(table))

    @idempotent
    def infos(self) -> list[TableInfo]:
        """Statistics of every table."""
        return [self.info(name) for name in self._tables]

    @idempotent
    def row_bytes(self) -> dict[str, int]:
        """Bytes of all rows that tables or writers hold, by column."""
        columns = self._columns.values()
        return {column.name: column.num_rows * column.row_bytes for column in columns}

    @idempotent
    def dump(self, table: str) -> dict[str, Any]:
        """Everything that a table holds, as plain data; see `Table.dump`.

        Raises:
          ConfigError: the engine is "reverb".
          ValueError: there is no such table.
        """
        self._table(table)
        return self._own_tables()[table].dump()

    # --- Checkpoints -----------------------------------------------------------------

    def start_checkpoint(self, folder: str) -> int:
        """Starts a checkpoint of everything as it is now; see `save_checkpoint`.

        Steps that writers have not sent in items yet are not in it. Another checkpoint
        that is not being finished yet is discarded.

        Returns:
          The number of the checkpoint, for `copy_part` and `finish_checkpoint`.

        Raises:
          OSError: the disk has no space for all of it. Nothing was written.
        """
        metadata = {
            "num_env_steps": self._num_env_steps,
            "num_episodes": self._num_episodes,
            "num_dropped_episodes": self._num_dropped,
            "writers": self._writers.state(),
        }
        return self._checkpoints.start(
            Path(folder), self._own_tables(), self._columns, metadata
        )

    def copy_part(self, number: int) -> bool:
        """Copies a part of a checkpoint; returns whether parts remain.

        Raises:
          ValueError: this checkpoint was not started, or was finished or discarded.
        """
        return self._checkpoints.copy_part(number, self._part_bytes)

    @concurrent
    def finish_checkpoint(self, number: int, num_keep: int) -> str:
        """Completes a checkpoint whose parts are all copied; returns its path.

        Raises:
          OSError: it could not be written. Its files were removed.
          ValueError: parts remain, or this checkpoint was not started, or was finished
            or discarded, or `num_keep` is below 1.
        """
        return str(self._checkpoints.finish(number, num_keep))

    # --- Private ---------------------------------------------------------------------

    def _own_tables(self) -> dict[str, Table]:
        tables = {n: t for n, t in self._tables.items() if isinstance(t, Table)}
        if len(tables) < len(self._tables):
            raise ConfigError("only the replay engine 'own' has checkpoints and dumps")
        return tables

    def _sample_error(self, table: str, num_items: int) -> str | None:
        return impossible_sample(self._configs[table], num_items)

    def _table(self, name: str) -> AnyTable:
        try:
            return self._tables[name]
        except KeyError:
            raise ValueError(
                f"expected a table of {sorted(self._tables)}, got '{name}'"
            ) from None


def save_checkpoint(replay: Replay, folder: str, *, num_keep: int = 3) -> str:
    """Saves everything in replay as it is now; other calls proceed meanwhile.

    There is one checkpoint at a time: if another caller starts one before this one is
    copied, this one is discarded.

    Args:
      replay: the replay service, or a client of it.
      folder: of checkpoints, on replay's machine.
      num_keep: how many complete checkpoints to keep, at least 1. Older ones are
        removed.

    Returns:
      The path of the checkpoint.

    Raises:
      OSError: it could not be written, for example because the disk is full. Its files
        were removed, and replay is unchanged.
      ValueError: another checkpoint was started before this one was copied, or
        `num_keep` is below 1.
    """
    check_num_keep(num_keep)
    number = replay.start_checkpoint(folder)
    while replay.copy_part(number):
        pass
    return replay.finish_checkpoint(number, num_keep)


def check_memory(tables: Sequence[TableConfig], may_exceed_memory: bool) -> str | None:
    """Checks that the memory of this machine is enough for full tables.

    Args:
      tables: of one replay.
      may_exceed_memory: whether the tables may take more than all of it.

    Returns:
      A warning, if the tables take so much that memory may run out; otherwise None.

    Raises:
      ConfigError: they can never be full, as all of its memory is too little.
    """
    memory = memory_limit()
    full_bytes = sum(table.full_bytes for table in tables)
    if full_bytes <= _MEMORY_SHARE * memory:
        return None
    names = ", ".join(f"{table.name}: {table.max_size:,} items" for table in tables)
    words = (
        f"replay takes about {full_bytes / 1e9:.3g} GB when its tables are full "
        f"({names}), and this machine has {memory / 1e9:.3g} GB: a smaller max_size "
        f"takes less; for programs of DQN, R2D2, SAC and TD3 it is --agent.replay.size"
    )
    if full_bytes > memory and not may_exceed_memory:
        raise ConfigError(
            f"{words}. A training program starts all the same with "
            f"--replay-may-exceed-memory, for a run that ends before"
        )
    return words
