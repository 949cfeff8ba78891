"""The replay service: tables, their waiting, and what writers have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from acmelike.core import concurrent, when
from acmelike.errors import ConfigError
from acmelike.replay.checkpoints.reader import newest_checkpoint
from acmelike.replay.checkpoints.writer import CheckpointManager, check_num_keep
from acmelike.replay.config import TableConfig, impossible_sample
from acmelike.replay.limiters import RateLimiterConfig
from acmelike.replay.message import Message
from acmelike.replay.results import Sample, TableInfo
from acmelike.replay.service.sample_cursors import Drawn, SampleCursor, SampleCursors
from acmelike.replay.service.writer_sessions import WriterSessions
from acmelike.replay.storage.rows import make_shared_columns
from acmelike.replay.tables.engine import AnyTable, Engine, check_engine, make_tables
from acmelike.replay.tables.table import Table
from acmelike.types import Array, Nested

# Of a checkpoint, copied at once: traffic waits some ten milliseconds for it.
PART_BYTES = 1 << 22


class Replay:
    """Tables that writers insert into and learners sample from.

    It also counts the environment steps that came with the inserts, so that whoever
    asks for progress sees what replay has acknowledged and nothing else. The guards
    know nothing of calls that are mistaken: they let them through, to raise.

    Args:
      tables: the tables, at least one, of different names.
      seed: of the random streams of all tables.
      restore: a folder of checkpoints, of which the newest that is whole is restored;
        None, or a folder without one, to begin empty.
      limits: whose limits hold for what is restored: those of "code", in `tables`, or
        those of the "checkpoint".
      engine: whose tables: "own", or those of "reverb", which has to be installed.

    Raises:
      ConfigError: there is no table, or two have the same name, or the checkpoint has
        others, or they are of other items.
      CheckpointDamaged: there are checkpoints, but none is whole.
    """

    def __init__(
        self,
        tables: Sequence[TableConfig],
        *,
        seed: int,
        restore: str | None = None,
        limits: Literal["code", "checkpoint"] = "code",
        engine: Engine = "own",
    ):
        names = [table.name for table in tables]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"expected tables of different names, got {names}")
        check_engine(engine, tables, restore)
        saved = None if restore is None else newest_checkpoint(Path(restore))
        if saved is not None and limits == "checkpoint":
            tables = saved.with_limits(tables)
        self._configs = {table.name: table for table in tables}
        self._shared = make_shared_columns(tables)
        self._tables = make_tables(engine, tables, self._shared, seed)
        self._writers = WriterSessions(self._tables, self._shared)
        self._readers = SampleCursors()
        self._num_env_steps = 0
        self._checkpoints = CheckpointManager()
        if saved is not None:
            saved.load(self._own_tables(), self._shared)
            self._writers.load(saved.facts["writers"])
            self._num_env_steps = saved.facts["num_env_steps"]
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

    def _blocks_write(self, message: Message) -> str | None:
        return self._stopped or self._writers.blocks(message)

    @when(_blocks_write)
    def write(self, message: Message) -> int:
        """Takes what a writer has written: steps, and items that refer to them.

        All of it or, if anything is wrong with it, nothing; items are inserted in
        order, as many as their limiters allow, and it waits while there is none. The
        caller repeats the message, or says that it is the rest of it, until all are. A
        message that was taken before is not taken again, unless its writer was since
        forgotten for too many others, or replay began anew.

        Returns:
          How many of its items have been inserted, by this call and earlier ones.

        Raises:
          ValueError: something is not what it should be; nothing was changed.
        """
        is_new = self._writers.receive(message)
        if is_new:
            self._num_env_steps += message.num_env_steps
        return self._writers.admit(message)

    def close_writer(self, writer: int) -> None:
        """Gives up the items left of a writer, and steps that only it referred to."""
        self._writers.close(writer)

    def _blocks_sample(
        self, table: str, num_items: int, reader: SampleCursor | None = None
    ) -> str | None:
        if table not in self._tables or self._mistaken(table, num_items):
            return None
        return self._tables[table].blocks_sample(num_items)

    @when(_blocks_sample)
    def sample(
        self, table: str, num_items: int, reader: SampleCursor | None = None
    ) -> Sample:
        """Draws `num_items` at once; waits until the limiter allows all of them.

        Args:
          table: the table's name.
          num_items: n, at least 1; `check_sample_size` says whether a limiter can allow
            it at all.
          reader: who asks, if it may ask ahead of need.

        Returns:
          n items in arrays of their own.

        Raises:
          ValueError: there is no such table, or `num_items` is below 1 or more than
            the table can ever give at once.
        """
        target = self._table(table)
        if (mistake := self._mistaken(table, num_items)) is not None:
            raise ValueError(mistake)
        sample = target.sample(num_items)
        if reader is not None:
            self._readers.draw(reader, Drawn(table, sample.keys))
        return sample

    def close_reader(self, reader: SampleCursor) -> None:
        """Takes back the samples that a reader has drawn and will not use.

        Of their items, those still held count as not sampled. One that is gone, as it
        was sampled often enough or for another reason, does not come again and stays
        counted. What was drawn before a reset is not counted any more. A reader that
        is not known has drawn nothing.
        """
        for drawn in self._readers.close(reader):
            self._tables[drawn.table].return_samples(drawn.keys)

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

        It counts as no insert, but waits as one does. An item whose key is not held,
        or no longer, is not inserted. It is for tables of arrays alone: rows that items
        share come from a writer, so those of a table with `Rows` cannot be changed.

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

        What readers have drawn of it is forgotten too.

        Raises:
          ValueError: there is no such table.
        """
        self._table(table).reset()
        self._readers.reset(table)

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
        return self._table(table).info(self._readers.num_ahead(table))

    def infos(self) -> list[TableInfo]:
        """What every table holds and has done."""
        return [self.info(name) for name in self._tables]

    def row_bytes(self) -> dict[str, int]:
        """What the rows of each shared column take, all that tables or writers hold."""
        columns = self._shared.values()
        return {column.name: column.num_rows * column.row_bytes for column in columns}

    # --- It is saved -----------------------------------------------------------------

    def begin_checkpoint(self, folder: str) -> int:
        """Begins to save everything as it is now; `save_checkpoint` does the rest.

        Steps that writers have not sent in items yet are not saved. A checkpoint that
        is under way is given up.

        Returns:
          The number of the checkpoint, for those who go on with it.

        Raises:
          OSError: the disk has no space for all of it; nothing was written.
        """
        facts = {
            "num_env_steps": self._num_env_steps,
            "writers": self._writers.state(),
        }
        return self._checkpoints.begin(
            Path(folder), self._own_tables(), self._shared, facts
        )

    def copy_part(self, number: int) -> bool:
        """Snapshot a part of what is to be saved; returns whether anything is left.

        Raises:
          ValueError: that checkpoint is not under way any more.
        """
        return self._checkpoints.part(number, PART_BYTES)

    @concurrent
    def finish_checkpoint(self, number: int, num_keep: int) -> str:
        """Completes the checkpoint, of which all parts are copied; returns its path.

        Raises:
          OSError: it could not be written; nothing of it is left.
          ValueError: parts are left, or it is not under way any more, or `num_keep` is
            below 1.
        """
        return str(self._checkpoints.finish(number, num_keep))

    def _own_tables(self) -> dict[str, Table]:
        tables = {n: t for n, t in self._tables.items() if isinstance(t, Table)}
        if len(tables) < len(self._tables):
            raise ConfigError("only the replay engine 'own' has checkpoints")
        return tables

    def _mistaken(self, table: str, num_items: int) -> str | None:
        return impossible_sample(self._configs[table], num_items)

    def _table(self, name: str) -> AnyTable:
        try:
            return self._tables[name]
        except KeyError:
            raise ValueError(
                f"expected a table of {sorted(self._tables)}, got '{name}'"
            ) from None


def save_checkpoint(replay: Replay, folder: str, *, num_keep: int = 3) -> str:
    """Saves everything in replay as it is now; traffic goes on meanwhile.

    One at a time: whoever begins another before this one is copied ends it.

    Args:
      replay: the replay service, or a client of it.
      folder: of checkpoints, on replay's machine.
      num_keep: how many whole ones there may be, at least 1; older ones are removed.

    Returns:
      The path of the checkpoint.

    Raises:
      OSError: it could not be written, for example as the disk is full; nothing of it
        is left, and replay goes on.
      ValueError: another was begun before this one was copied, or `num_keep` is below
        1.
    """
    check_num_keep(num_keep)
    number = replay.begin_checkpoint(folder)
    while replay.copy_part(number):
        pass
    return replay.finish_checkpoint(number, num_keep)
