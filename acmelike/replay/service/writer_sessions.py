"""What replay knows of each writer: its latest steps, and how far its message is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from acmelike.replay.message import Message
from acmelike.replay.storage.rows import SharedColumn, WriterHistory
from acmelike.replay.tables.columns import Prepared
from acmelike.replay.tables.engine import AnyTable

# Of writers that say nothing any more, such as those of actors that died, the steps of
# so many are kept, and of those with items left, which may only be waiting.
_MAX_WRITERS = 1000
# Of so many more the number of the last message, so that it is not taken twice.
_MAX_FORGOTTEN = 10_000


@dataclass(slots=True)
class _Writer:
    """One writer.

    Attributes:
      windows: its latest steps, by column.
      number: of its last message.
      num_done: items of that message that were inserted.
      left: those that were not, by table, in order.
    """

    windows: dict[str, WriterHistory] = field(default_factory=dict)
    number: int = 0
    num_done: int = 0
    left: list[tuple[AnyTable, Prepared]] = field(default_factory=list)


class WriterSessions:
    """Takes messages, once each, and inserts their items as limiters allow.

    Of very many writers, those that were not heard of for longest are forgotten, but
    none of which items are left to insert. (Of a message that waits before any of its
    items is inserted nothing is known here.) Forgotten are its steps: later items that
    refer to them are refused. It may go on, and what it repeats is still taken once,
    until very many more are forgotten. Whoever is not known at all, because replay
    began anew say, is taken as new with whatever number its message has.

    Args:
      tables: where items go, by name.
      columns: where steps go, by name.
    """

    def __init__(
        self, tables: Mapping[str, AnyTable], columns: Mapping[str, SharedColumn]
    ):
        self._tables, self._columns = tables, columns
        # Those that were heard of last are at the end.
        self._writers: OrderedDict[int, _Writer] = OrderedDict()
        self._forgotten: OrderedDict[int, _Writer] = OrderedDict()

    def blocks(self, message: Message) -> str | None:
        """Why no item of a message can be inserted now, or None."""
        writer = self._find(message)
        if writer is not None and writer.number >= message.number:
            table = writer.left[0][0] if writer.left else None
        else:
            name = message.items[0].table if message.items else None
            table = None if name is None else self._tables.get(name)
        return None if table is None else table.blocks_insert(1)

    def receive(self, message: Message) -> bool:
        """Takes the steps of a new message, and checks its items; False if it is old.

        What is left of the message before is given up: so does its writer, after an
        error.

        Raises:
          ValueError: something is not what it should be; nothing was changed.
        """
        writer = self._find(message) or _Writer()
        if message.is_rest and message.writer not in self._writers:
            raise ValueError(
                "expected to go on with a message whose items are left to insert, got "
                f"message {message.number} of a writer that was closed, or that wrote "
                "before replay began anew; its items are lost"
            )
        if message.number <= writer.number:
            return False
        with ExitStack() as undo:
            for name, steps in message.steps.items():
                window = self._window(writer, name)
                window.check(*steps)
                window.append(*steps)
                undo.callback(window.undo, len(steps.rows))
            left = [
                (
                    self._table(items.table),
                    self._table(items.table).prepared(
                        items.data, items.priorities, writer.windows
                    ),
                )
                for items in message.items
            ]
            undo.pop_all()
        writer.number, writer.num_done, writer.left = message.number, 0, left
        if message.writer not in self._writers:
            self._make_room()
            self._forgotten.pop(message.writer, None)
            self._writers[message.writer] = writer
        return True

    def admit(self, message: Message) -> int:
        """Inserts what the limiters allow; returns how many items are inserted so far.

        When all are, the steps that nobody may refer to later are given up.
        """
        if message.writer in self._writers:
            self._writers.move_to_end(message.writer)
            writer = self._writers[message.writer]
        else:
            writer = self._forgotten[message.writer]
        if message.number < writer.number:
            return sum(items.num_items for items in message.items)
        while writer.left:
            table, items = writer.left[0]
            num_admitted = len(table.admit(items))
            writer.num_done += num_admitted
            if num_admitted < items.num_items:
                writer.left[0] = table, items.part(num_admitted, None)
                break
            writer.left.pop(0)
        if not writer.left:
            for name, first in message.keep_from.items():
                if name in writer.windows:
                    writer.windows[name].trim(first)
        return writer.num_done

    def close(self, number: int) -> None:
        """Forgets a writer, and gives up the steps that only it referred to."""
        writer = self._writers.pop(number, None)
        if writer is None:
            return
        for window in writer.windows.values():
            window.close()
        self._forgotten[number] = _Writer({}, writer.number, writer.num_done)
        if len(self._forgotten) > _MAX_FORGOTTEN:
            self._forgotten.popitem(last=False)

    def _find(self, message: Message) -> _Writer | None:
        number = message.writer
        return self._writers.get(number) or self._forgotten.get(number)

    def _make_room(self) -> None:
        """Forgets a writer if there are too many, and none of which items are left."""
        if len(self._writers) >= _MAX_WRITERS:
            idle = (number for number, one in self._writers.items() if not one.left)
            if (oldest := next(idle, None)) is not None:
                self.close(oldest)

    def state(self) -> list[tuple[int, int, int]]:
        """What `load` takes: of each writer, how far its messages were taken.

        Items that wait for a limiter are not held yet. So a message with such is as one
        that has not come, although some of its items may be held.
        """
        return [
            (number, writer.number - bool(writer.left), writer.num_done)
            for number, writer in self._writers.items()
        ]

    def load(self, state: Iterable[tuple[int, int, int]]) -> None:
        """Takes no message again that was taken before; the writers' steps are gone."""
        for writer, number, num_done in state:
            self._writers[writer] = _Writer(number=number, num_done=num_done)

    def _window(self, writer: _Writer, name: str) -> WriterHistory:
        if name not in writer.windows:
            if name not in self._columns:
                raise ValueError(
                    f"expected a column of {sorted(self._columns)}, got '{name}'"
                )
            writer.windows[name] = WriterHistory(self._columns[name])
        return writer.windows[name]

    def _table(self, name: str) -> AnyTable:
        if name not in self._tables:
            raise ValueError(
                f"expected a table of {sorted(self._tables)}, got '{name}'"
            )
        return self._tables[name]
