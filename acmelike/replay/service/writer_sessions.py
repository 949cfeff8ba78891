"""One session for each writer: its latest steps, and the progress of its message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from acmelike.replay.message import Message, Share
from acmelike.replay.storage.rows import SharedColumn, WriterHistory
from acmelike.replay.tables.columns import ItemBatch
from acmelike.replay.tables.engine import AnyTable


@dataclass(slots=True)
class _Session:
    """The state of one writer.

    Attributes:
      histories: its latest steps, by column.
      number: of its last message.
      num_inserted: items of that message that were inserted.
      remaining: items of that message still to be inserted, by table, in order.
      num_restored: items of the next message that came with a checkpoint, or None.
      share: of that message, if it has items and its writer has a name.
    """

    histories: dict[str, WriterHistory] = field(default_factory=dict)
    number: int = 0
    num_inserted: int = 0
    remaining: list[tuple[AnyTable, ItemBatch]] = field(default_factory=list)
    num_restored: int | None = None
    share: Share | None = None


class WriterSessions:
    """Receives each message once, and inserts its items as the rate limiters allow.

    A writer that died sends no notice. When there are too many sessions, the writer
    whose last message is the oldest is forgotten, unless it has items that remain to be
    inserted. (A message that waits before any of its items is inserted is not known
    here.) Replay then releases the writer's steps and refuses later items that refer to
    them. The writer may continue, and a message that it repeats is received only once.

    The number of a forgotten writer's last message is kept, until there are too many
    forgotten writers as well. A writer that is not known at all, for example after a
    restart of replay, is accepted as new, whatever the number of its message.

    A writer may have a name. One writer at a time has this name: `replace` sets which,
    and messages of the earlier ones are refused. A checkpoint does not save names.

    Args:
      tables: where items go, by name.
      columns: where steps go, by name.
      max_writers: how many sessions are kept.
      max_forgotten: for how many forgotten writers the last number is kept.
    """

    def __init__(
        self,
        tables: Mapping[str, AnyTable],
        columns: Mapping[str, SharedColumn],
        *,
        max_writers: int,
        max_forgotten: int = 10_000,
    ):
        self._tables, self._columns = tables, columns
        self._max_writers, self._max_forgotten = max_writers, max_forgotten
        # The writer of the latest message is at the end.
        self._sessions: OrderedDict[int, _Session] = OrderedDict()
        self._forgotten: OrderedDict[int, _Session] = OrderedDict()
        # By name: the present writer, and the version of the last message whose items
        # were all inserted.
        self._named: dict[str, tuple[int, int]] = {}

    def replace(self, name: str, writer: int) -> int:
        """Lets a writer take the place of the one that had this name.

        Returns:
          The version of the last items that came from a writer of this name; -1 if
          there are none.

        Raises:
          ValueError: only some items of its last message are inserted, and nobody will
            repeat that message.
        """
        last, version = self._named.get(name, (writer, -1))
        if last != writer:
            if last in self._sessions and self._sessions[last].remaining:
                raise ValueError(
                    f"no writer can take the place of '{name}': the rate limiter has "
                    f"admitted only a part of its last message"
                )
            self.close(last)
        self._named[name] = writer, version
        return version

    def blocks(self, message: Message) -> str | None:
        """Why no item of a message can be inserted now, or None."""
        if self._is_replaced(message):
            return None  # It is refused.
        session = self._find(message)
        if session is not None and session.number >= message.number:
            table = session.remaining[0][0] if session.remaining else None
        else:
            name = message.items[0].table if message.items else None
            table = None if name is None else self._tables.get(name)
        return None if table is None else table.blocks_insert(1)

    def receive(self, message: Message) -> bool:
        """Stores the steps of a new message and checks its items.

        Remaining items of the previous message are dropped. The writer, which had an
        error, has dropped them too.

        Returns:
          False if the message was received before, or if a checkpoint that was restored
          has a part of it.

        Raises:
          ValueError: something does not fit a column or a table, or its writer was
            replaced. Nothing was changed.
        """
        if self._is_replaced(message):
            assert message.share is not None
            raise ValueError(
                f"message {message.number}: another writer has taken the place of "
                f"'{message.share.name}'"
            )
        session = self._find(message) or _Session()
        is_known = message.writer in self._sessions and message.number <= session.number
        if message.is_continuation and not is_known:
            raise ValueError(
                f"message {message.number}: its writer waits for items that remain to "
                "be inserted, but replay does not know the message: its writer was "
                "closed, or replay was restarted; the items are lost"
            )
        if message.number <= session.number:
            return False
        appended, remaining = [], []
        try:
            for name, steps in message.steps.items():
                history = self._history(session, name)
                history.check(*steps)
                history.append(*steps)
                appended.append((history, len(steps.rows)))
            for items in message.items:
                table = self._table(items.table)
                batch = table.make_batch(
                    items.data, items.priorities, session.histories, items.columns
                )
                remaining.append((table, batch))
        except BaseException:
            for history, num_rows in appended:
                history.undo(num_rows)
            raise
        is_next = message.number == session.number + 1
        num_restored = session.num_restored if is_next else None
        session.number, session.num_inserted = message.number, num_restored or 0
        session.remaining = _without_first(remaining, num_restored or 0)
        session.num_restored = None
        if message.writer not in self._sessions:
            self._make_room()
            self._forgotten.pop(message.writer, None)
            self._sessions[message.writer] = session
        session.share = message.share if message.items else None
        return num_restored is None

    def admit(self, message: Message) -> int:
        """Inserts as many remaining items as the rate limiters allow.

        When all are inserted, the steps before `keep_from` are released.

        Returns:
          How many items of the message are inserted so far.
        """
        if message.writer in self._sessions:
            self._sessions.move_to_end(message.writer)
            session = self._sessions[message.writer]
        else:
            session = self._forgotten[message.writer]
        if message.number < session.number:
            return sum(items.num_items for items in message.items)
        while session.remaining:
            table, batch = session.remaining[0]
            num_admitted = len(table.admit(batch))
            session.num_inserted += num_admitted
            if num_admitted < batch.num_items:
                session.remaining[0] = table, batch.part(num_admitted, None)
                break
            session.remaining.pop(0)
        if not session.remaining:
            if session.share is not None:
                self._named[session.share.name] = message.writer, session.share.version
            for name, first in message.keep_from.items():
                if name in session.histories:
                    session.histories[name].trim(first)
        return session.num_inserted

    def close(self, writer: int) -> None:
        """Forgets a writer, and releases the steps that only it referred to."""
        session = self._sessions.pop(writer, None)
        if session is None:
            return
        for history in session.histories.values():
            history.close()
        self._forgotten[writer] = _Session(
            number=session.number,
            num_inserted=session.num_inserted,
            num_restored=session.num_restored,
        )
        if len(self._forgotten) > self._max_forgotten:
            self._forgotten.popitem(last=False)

    def state(self) -> list[tuple[int, int, int, bool]]:
        """(writer, number of last message, items inserted, whether all), by session.

        Items that wait for a rate limiter are not stored in a table yet, so a
        checkpoint does not have them.
        """
        return [
            (writer, session.number, session.num_inserted, not session.remaining)
            if session.num_restored is None
            else (writer, session.number + 1, session.num_restored, False)
            for writer, session in self._sessions.items()
        ]

    def restore(self, state: Iterable[tuple[int, int, int, bool]]) -> None:
        """Restores what `state` returned; the writers' steps are not in it.

        A message with remaining items counts as not received. If its writer repeats it,
        the items that were inserted before are skipped.
        """
        for writer, number, num_inserted, has_all in state:
            self._sessions[writer] = (
                _Session(number=number, num_inserted=num_inserted)
                if has_all
                else _Session(number=number - 1, num_restored=num_inserted)
            )

    def _is_replaced(self, message: Message) -> bool:
        share, writer = message.share, message.writer
        return share is not None and self._named.get(share.name, (writer,))[0] != writer

    def _find(self, message: Message) -> _Session | None:
        writer = message.writer
        return self._sessions.get(writer) or self._forgotten.get(writer)

    def _make_room(self) -> None:
        """Forgets a writer without remaining items, if there are too many."""
        if len(self._sessions) < self._max_writers:
            return
        for writer, session in self._sessions.items():
            if not session.remaining:
                self.close(writer)
                return

    def _history(self, session: _Session, name: str) -> WriterHistory:
        if name not in session.histories:
            if name not in self._columns:
                raise ValueError(
                    f"expected a column of {sorted(self._columns)}, got '{name}'"
                )
            session.histories[name] = WriterHistory(self._columns[name])
        return session.histories[name]

    def _table(self, name: str) -> AnyTable:
        if name not in self._tables:
            raise ValueError(
                f"expected a table of {sorted(self._tables)}, got '{name}'"
            )
        return self._tables[name]


def _without_first(
    parts: list[tuple[AnyTable, ItemBatch]], num_items: int
) -> list[tuple[AnyTable, ItemBatch]]:
    """The items after the first ones."""
    rest = []
    for table, batch in parts:
        num_here = min(num_items, batch.num_items)
        num_items -= num_here
        if num_here < batch.num_items:
            rest.append((table, batch.part(num_here, None)))
    return rest
