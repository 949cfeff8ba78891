"""What a table gives: samples of its items, and facts about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from acmelike.types import Array, Nested


class Sample(NamedTuple):
    """Items drawn from a table.

    Attributes:
      data: nest of `[n, ...]`, the items.
      keys: `[n]` int64, what `update_priorities` and `delete` know each item by.
      probabilities: `[n]` float64, how likely each draw was.
      priorities: `[n]` float64.
      times_sampled: `[n]` int32, how often each item was drawn, these included.
    """

    data: Nested
    keys: Array
    probabilities: Array
    priorities: Array
    times_sampled: Array


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """What a table holds and has done.

    Attributes:
      name: the table's name.
      size: items held.
      max_size: items that it can hold.
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_ahead: of those sampled, items that a reader has asked for ahead of need and,
        as far as is known, not used yet. One that died without closing keeps its share
        until so many others have asked that it is forgotten.
      num_deleted: items that are no longer held: evicted, deleted, or sampled as often
        as they may be.
      samples_per_insert: items sampled per item inserted; 0 before the first insert.
      num_bytes: of the items held; rows that several of them share count once.
      num_row_bytes: of these, those of rows, which other tables and writers may hold
        too; `Replay.row_bytes` has what all rows take.
      num_index_bytes: what finding and drawing these items takes beside them: keys,
        priorities, counts, selectors, and what is kept about shared rows. A selector
        of your own counts with its `slot_bytes`, if it has any.
    """

    name: str
    size: int
    max_size: int
    num_inserted: int
    num_sampled: int
    num_ahead: int
    num_deleted: int
    samples_per_insert: float
    num_bytes: int
    num_row_bytes: int
    num_index_bytes: int
