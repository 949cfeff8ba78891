"""What a writer sends to replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import optree

from acmelike.types import Array, Nested

# The number of no step: the row of zeros.
PADDING = -1


class Steps(NamedTuple):
    """Steps of one column, in order.

    Attributes:
      first: the number of the first.
      rows: `[m, ...]`, the first and those after it.
    """

    first: int
    rows: Array


class Items(NamedTuple):
    """Items for one table.

    Attributes:
      table: its name.
      data: nest of `[n, ...]` as its signature has it; in the place of rows, the
        numbers of steps, or `PADDING`.
      priorities: `[n]`, or None for the largest so far.
    """

    table: str
    data: Nested
    priorities: Array | None = None

    @property
    def num_items(self) -> int:
        """N.

        Raises:
          ValueError: there is no leaf, or the first has no leading axis.
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


class Message(NamedTuple):
    """Everything that one writer has written since its last message.

    Attributes:
      writer: who it is; a number that nobody else has.
      number: of the message, above those of all before it; the first is 1.
      steps: by column.
      items: they may refer to these steps and to earlier ones that were kept.
      keep_from: by column, the first step that later items may refer to; a column that
        is not named keeps what it has.
      num_env_steps: taken for them.
      is_rest: whether it only asks to go on with the items of this number, which
        replay has and did not admit yet.
    """

    writer: int
    number: int
    steps: Mapping[str, Steps]
    items: Sequence[Items]
    keep_from: Mapping[str, int]
    num_env_steps: int
    is_rest: bool = False
