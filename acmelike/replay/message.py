"""What a writer sends to replay: new steps, and items that refer to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optree

from acmelike.types import Array, Nested

# Stands for the row of zeros, in the place of a step's number in an item.
PADDING = -1


class Steps(NamedTuple):
    """Consecutive steps of one column.

    Attributes:
      first: the number of the first step.
      rows: `[m, ...]`, one row for each step.
    """

    first: int
    rows: Array


class Items(NamedTuple):
    """Items for one table.

    Attributes:
      table: the table's name.
      data: nest of `[n, ...]`, as the table's signature has it. Where the signature has
        `Rows`, the leaf has the numbers of steps, or `PADDING`.
      priorities: `[n]`; None for the largest priority that the table has seen so far.
      columns: for each leaf, the column whose steps it refers to; None for an array. If
        the whole field is None, the columns are those of the signature.
    """

    table: str
    data: Nested
    priorities: Array | None = None
    columns: tuple[str | None, ...] | None = None

    @property
    def num_items(self) -> int:
        """The length n of the leading axis.

        Raises:
          ValueError: `data` has no leaf, or its first leaf has no leading axis.
        """
        leaves = optree.tree_leaves(self.data)
        try:
            return len(leaves[0])
        except (IndexError, TypeError):
            got = f"shape {list(np.shape(leaves[0]))}" if leaves else "no leaf"
            accessors = optree.tree_accessors(self.data)
            path = accessors[0].codify("items") if leaves else "items"
            raise ValueError(
                f"table '{self.table}': expected {path} to have shape [n, ...], "
                f"got {got}"
            ) from None


class EpisodeEnd(NamedTuple):
    """The result of one episode.

    Attributes:
      total_reward: the undiscounted sum of its rewards.
      num_steps: its number of environment steps.
      num_clipped: how many of these steps had an action that was clipped to its bounds.
      is_dropped: whether it was dropped unfinished, because its environment failed and
        was recreated. Replay then counts the episode, but does not use its numbers.
    """

    total_reward: float
    num_steps: int
    num_clipped: int = 0
    is_dropped: bool = False


class Share(NamedTuple):
    """In lock-step: the actor that made a message's items, and the version it used.

    Attributes:
      name: of the writer. Its replacement after a failure has the same name.
      version: of the parameters with which the items were collected.
    """

    name: str
    version: int


class Message(NamedTuple):
    """Everything that one writer has written since its last message.

    Attributes:
      writer: a random number that identifies the writer.
      number: of the message. A writer's numbers begin at 1 and grow.
      steps: new steps, by column.
      items: may refer to these steps, and to earlier ones that replay still keeps.
      keep_from: by column, the first step that later items may refer to. A column that
        is not named keeps all its steps.
      num_env_steps: environment steps taken since the last message.
      episodes: that have ended in these steps.
      is_continuation: True if replay already has the message with this number, and the
        writer only waits until the remaining items are inserted. Steps and items are
        then empty.
      share: of a writer with a name; None for others.
    """

    writer: int
    number: int
    steps: Mapping[str, Steps]
    items: Sequence[Items]
    keep_from: Mapping[str, int]
    num_env_steps: int
    episodes: Sequence[EpisodeEnd] = ()
    is_continuation: bool = False
    share: Share | None = None
