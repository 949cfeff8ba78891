"""What replay returns: samples, and statistics of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from acmelike.types import Array, Nested


class Sample(NamedTuple):
    """Items drawn from a table.

    Attributes:
      data: nest of `[n, ...]`, the items.
      keys: `[n]` int64; `update_priorities` and `delete` take them.
      probabilities: `[n]` float64, the probability of each draw when it was made.
      priorities: `[n]` float64.
      times_sampled: `[n]` int32, how often each item was drawn, this sample included.
    """

    data: Nested
    keys: Array
    probabilities: Array
    priorities: Array
    times_sampled: Array


class EpisodeInfo(NamedTuple):
    """Statistics of episodes that have ended, as the writers reported them.

    Attributes:
      num_episodes: all of them.
      mean_return: of the last 100, the mean undiscounted return; None before the first,
        and before the first after a checkpoint was restored.
      mean_length: of the last 100, the mean number of environment steps; likewise.
      clipped_fraction: of the steps of the last 100, the share whose action was outside
        of its bounds and was clipped to them; likewise.
      num_dropped_episodes: those that were dropped unfinished, because an environment
        failed and was recreated; they are in none of the other numbers.
    """

    num_episodes: int
    mean_return: float | None
    mean_length: float | None
    clipped_fraction: float | None
    num_dropped_episodes: int


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """Statistics of a table.

    Attributes:
      name: the table's name.
      size: number of items held.
      max_size: number of items that it can hold.
      num_inserted: items inserted so far.
      num_sampled: items sampled so far.
      num_prefetched: those of `num_sampled` that an iterator has drawn ahead of need
        and, as far as replay knows, not used yet. If an iterator's process dies, its
        items stay counted here until replay forgets the iterator; see `Replay`.
      num_deleted: items that are no longer held, because they were evicted, deleted,
        or sampled `max_times_sampled` times.
      samples_per_insert: `num_sampled / num_inserted`; 0 before the first insert.
      num_bytes: size of the items held, in bytes. Rows that several items share count
        once.
      num_row_bytes: the part of `num_bytes` that is shared rows. Other tables and
        writers may hold the same rows; `Replay.row_bytes` has the size of all rows.
      num_index_bytes: size of the bookkeeping for these items, in bytes: keys,
        priorities, counts, selectors and reference counts of rows. A selector of your
        own counts with its attribute `slot_bytes`, if it has one.
    """

    name: str
    size: int
    max_size: int
    num_inserted: int
    num_sampled: int
    num_prefetched: int
    num_deleted: int
    samples_per_insert: float
    num_bytes: int
    num_row_bytes: int
    num_index_bytes: int
