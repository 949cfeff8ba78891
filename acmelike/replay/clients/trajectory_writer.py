"""Trajectories: items over any of the latest steps, of any columns."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from acmelike.errors import ConfigError
from acmelike.replay.clients.writer import Writer
from acmelike.replay.message import Items
from acmelike.replay.service.replay import Replay
from acmelike.types import Array, Nested


@dataclass(frozen=True)
class Reference:
    """Steps of a column, to be put into an item.

    Attributes:
      column: its name.
      numbers: of the steps: `[]` for one, `[L]` for several.
    """

    column: str
    numbers: Array


class History:
    """The steps of one column that items may still refer to, the latest last.

    An index gives one step, a slice several: `history[-1]`, `history[-4:]`.

    Args:
      column: the column's name.
    """

    def __init__(self, column: str):
        self._column, self._first, self._next = column, 0, 0

    def __len__(self) -> int:
        return self._next - self._first

    def __getitem__(self, index: int | slice) -> Reference:
        """A reference to one step, or to several.

        Raises:
          IndexError: there is no such step, or it is no longer kept.
        """
        numbers = np.arange(self._first, self._next)
        found = numbers[index]
        if isinstance(index, slice) and not len(found):
            raise IndexError(f"no step of {len(self)} in {index}")
        return Reference(self._column, np.asarray(found))

    def append(self) -> None:
        """Adds a step."""
        self._next += 1

    def keep(self, num_steps: int) -> None:
        """Keeps only the latest steps."""
        self._first = max(self._first, self._next - num_steps)

    @property
    def first(self) -> int:
        """The number of the first step that is kept."""
        return self._first


class TrajectoryWriter:
    """Writes steps one by one, and items that refer to the latest of them.

        writer.append({"observation": o, "action": a})
        o, a = writer.history["observation"], writer.history["action"]
        writer.create_item("table", {"o": o[-4:], "a": a[-1]})
        writer.flush()

    Nothing is sent before `flush`, and only `flush` waits. A step that several items
    refer to is sent and stored once. A step that stops being kept while there is no
    item to send is never sent.

    Args:
      replay: the replay service, or a client of it.
      num_keep: how many of the latest steps items may refer to.
    """

    def __init__(self, replay: Replay, *, num_keep: int):
        if num_keep < 1:
            raise ConfigError(f"expected num_keep >= 1, got {num_keep}")
        self._writer, self._num_keep = Writer(replay), num_keep
        self.history: dict[str, History] = {}
        # By column, the steps that were not sent yet, and how many will never be sent.
        self._steps: dict[str, deque[Array]] = defaultdict(deque)
        self._num_skipped: dict[str, int] = defaultdict(int)
        self._items: list[Items] = []

    def append(self, step: Mapping[str, Any]) -> None:
        """Adds a step; a column that it does not name gets no step.

        So a step may come in parts: first the observation, and after acting on it, the
        action. Each column counts its own steps.

        Raises:
          ValueError: a row is not as those before it that wait to be sent. No column
            got a step.
        """
        # Copies, as the caller may use its arrays again.
        rows = {name: np.array(value)[None] for name, value in step.items()}
        for name, row in rows.items():
            before = self._steps[name][-1] if self._steps[name] else row
            if row.dtype != before.dtype or row.shape != before.shape:
                raise ValueError(
                    f"column '{name}': expected rows to be {before.dtype} "
                    f"{list(before.shape[1:])} as before, got {row.dtype} "
                    f"{list(row.shape[1:])}"
                )
        for name, row in rows.items():
            if name not in self.history:
                self.history[name] = History(name)
            self.history[name].append()
            self._steps[name].append(row)
            self._keep(name, self._num_keep)

    def create_item(
        self, table: str, trajectory: Nested, *, priority: float | None = None
    ) -> None:
        """Adds an item, to be inserted by the next `flush`.

        Args:
          table: the table's name.
          trajectory: nest as the table's signature; references where it has `Rows`,
            arrays elsewhere.
          priority: None for the largest of the table so far.

        Raises:
          ValueError: it has no leaf, or refers to a step that is no longer kept, or its
            priority is negative or not finite. There is no such item. Whether the table
            takes the item, replay says in `flush`.
        """
        if priority is not None and not 0 <= priority < math.inf:
            raise ValueError(
                f"table '{table}': expected a finite priority >= 0, got {priority}"
            )
        data = optree.tree_map(self._leaf, trajectory)
        priorities = None if priority is None else np.array([priority])
        columns = tuple(
            leaf.column if isinstance(leaf, Reference) else None
            for leaf in optree.tree_leaves(trajectory)
        )
        items = Items(table, data, priorities, columns)
        if items.num_items:  # It raises if there is no leaf.
            self._items.append(items)

    def flush(self) -> None:
        """Sends everything, and waits until all items are inserted.

        Raises:
          RpcTimeout: not everything was admitted before the deadline of the scope
            around it; what was not is sent first the next time.
          ValueError: a table does not take an item, or a column its rows; all items
            since the last `flush` are dropped.
        """
        if not self._items:
            self._writer.flush()
            return
        for name, num_steps in self._num_skipped.items():
            self._writer.skip(name, num_steps)
        steps = {
            name: np.concatenate(rows) for name, rows in self._steps.items() if rows
        }
        items, self._items = self._items, []
        self._steps.clear()
        self._num_skipped.clear()
        first = {name: history.first for name, history in self.history.items()}
        self._writer.write(items, steps=steps, keep_from=first)

    def end_episode(self) -> None:
        """Ends an episode: later items cannot refer to the steps so far."""
        for name in self.history:
            self._keep(name, 0)

    def close(self) -> None:
        """Sends what remains, and releases the steps that were kept."""
        self.flush()
        self._writer.close()

    def _keep(self, name: str, num_steps: int) -> None:
        """Keeps only the latest steps of a column, and steps that wait with items."""
        history, steps = self.history[name], self._steps[name]
        history.keep(num_steps)
        while not self._items and len(steps) > len(history):
            steps.popleft()
            self._num_skipped[name] += 1

    def _leaf(self, leaf: Any) -> Array:
        if not isinstance(leaf, Reference):
            return np.array(leaf)[None]
        first = self.history[leaf.column].first
        oldest = min(leaf.numbers.item(0), leaf.numbers.item(-1))
        if oldest < first:
            raise ValueError(
                f"column '{leaf.column}': expected steps from {first} on, as older "
                f"ones are no longer kept, got {oldest}"
            )
        return leaf.numbers[None]
