"""Trajectories: items over any steps and columns of what was written last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree

from acmelike.errors import ConfigError
from acmelike.replay.message import Items
from acmelike.replay.service import Replay
from acmelike.replay.writer import Writer
from acmelike.types import Array, Nested


@dataclass(frozen=True)
class Reference:
    """Steps of a column, to be put into an item.

    Attributes:
      numbers: of the steps: `[]` for one, `[L]` for several.
    """

    numbers: Array


class History:
    """The steps of one column that may still be referred to, the latest last.

    An index gives one step, a slice several: `history[-1]`, `history[-4:]`.
    """

    def __init__(self) -> None:
        self._first, self._next = 0, 0

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
        return Reference(np.asarray(found))

    def append(self) -> None:
        """One more step."""
        self._next += 1

    def keep(self, num_steps: int) -> None:
        """Only the latest steps are kept."""
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

    Nothing is sent before `flush`, and only that waits. A step that several items refer
    to is sent and stored once.

    Args:
      replay: the replay service, or a client of it.
      num_keep: how many of the latest steps items may refer to.
    """

    def __init__(self, replay: Replay, *, num_keep: int):
        if num_keep < 1:
            raise ConfigError(f"expected num_keep >= 1, got {num_keep}")
        self._writer, self._num_keep = Writer(replay), num_keep
        self.history: dict[str, History] = {}
        self._steps: dict[str, list[Array]] = {}
        self._items: list[Items] = []

    def append(self, step: Mapping[str, Any]) -> None:
        """Adds a step; a column that it does not name has no step now.

        So a step may come in parts: the observation first, and when it was acted on,
        the action. Each column counts its own steps.
        """
        for name, value in step.items():
            self._steps.setdefault(name, []).append(np.asarray(value)[None])
            history = self.history.setdefault(name, History())
            history.append()
            history.keep(self._num_keep)

    def create_item(
        self, table: str, trajectory: Nested, *, priority: float | None = None
    ) -> None:
        """Adds an item, to be inserted by the next `flush`.

        Args:
          table: the table's name.
          trajectory: nest as the table's signature; references where it has `Rows`,
            arrays elsewhere.
          priority: None for the largest of the table so far.
        """
        data = optree.tree_map(
            lambda leaf: (
                leaf.numbers if isinstance(leaf, Reference) else np.asarray(leaf)
            )[None],
            trajectory,
        )
        priorities = None if priority is None else np.array([priority])
        self._items.append(Items(table, data, priorities))

    def flush(self, timeout: float | None = None) -> None:
        """Sends everything, and waits until all items are inserted.

        Args:
          timeout: seconds for each part that is admitted; None to wait as long as the
            run goes on.

        Raises:
          RpcTimeout: nothing was admitted in time; what was not goes first the next
            time.
        """
        steps = {name: np.concatenate(rows) for name, rows in self._steps.items()}
        items, self._items = self._items, []
        self._steps = {}
        first = {name: history.first for name, history in self.history.items()}
        self._writer.write(items, steps=steps, keep_from=first, timeout=timeout)

    def end_episode(self) -> None:
        """From now on no item refers to a step before this moment."""
        for history in self.history.values():
            history.keep(0)

    def close(self) -> None:
        """Sends what is left, and gives up the steps that were kept."""
        self.flush()
        self._writer.close()
