"""The writing side of replay: collects items and inserts them several at a time."""

from __future__ import annotations

import operator

import numpy as np
import optree

from acmelike.errors import ConfigError
from acmelike.replay.service import Replay
from acmelike.types import Array, Nested


class Writer:
    """Inserts items into one table, all of them and in order.

    It copies what it is given. Items that could not be sent because `insert` raised are
    kept, and sent with the next ones.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
      num_items_per_insert: how many items to collect before they are sent.

    Raises:
      ConfigError: `num_items_per_insert` is below 1.
    """

    def __init__(self, replay: Replay, table: str, *, num_items_per_insert: int = 1):
        if num_items_per_insert < 1:
            raise ConfigError(
                f"expected num_items_per_insert >= 1, got {num_items_per_insert}"
            )
        self._replay, self._table = replay, table
        self._num_items_per_insert = num_items_per_insert
        self._items: list[Nested] = []
        self._priorities: list[Array | None] = []
        self._num_items = 0
        self._num_env_steps = 0

    def append(
        self,
        items: Nested | None,
        priorities: Array | None = None,
        num_env_steps: int = 0,
    ) -> None:
        """Takes items, and sends all it holds if they are enough; then it may wait.

        Args:
          items: nest of `[m, ...]`, or None where there are none.
          priorities: `[m]`, or None to leave them to replay; one or the other for all
            the items sent together.
          num_env_steps: environment steps taken since the last call; they are sent with
            the next items, these or later ones.

        Raises:
          ValueError: some of the items held have priorities and some have none, or
            replay refused them.
        """
        num_items = 0 if items is None else len(optree.tree_leaves(items)[0])
        if items is not None and num_items:
            if self._items and (priorities is None) != (self._priorities[0] is None):
                raise ValueError(
                    "expected priorities for all items of an insert or for none, "
                    "got both"
                )
            self._items.append(optree.tree_map(np.array, items))
            self._priorities.append(
                None if priorities is None else np.array(priorities)
            )
        self._num_items += num_items
        self._num_env_steps += num_env_steps
        if self._num_items >= self._num_items_per_insert:
            self.flush()

    def flush(self) -> None:
        """Sends all items held, and waits until every one of them is inserted."""
        if self._num_items == 0:
            return
        items = optree.tree_map(lambda *parts: np.concatenate(parts), *self._items)
        given = [part for part in self._priorities if part is not None]
        self._hold(items, np.concatenate(given) if given else None)
        while self._num_items:
            items, priorities = self._items[0], self._priorities[0]
            num_sent = self._replay.insert(
                self._table, items, priorities, self._num_env_steps
            )
            self._num_env_steps = 0
            rest = slice(num_sent, None)
            self._hold(
                optree.tree_map(operator.itemgetter(rest), items),
                None if priorities is None else priorities[rest],
            )
        self._items, self._priorities = [], []

    def _hold(self, items: Nested, priorities: Array | None) -> None:
        self._items, self._priorities = [items], [priorities]
        self._num_items = len(optree.tree_leaves(items)[0])
