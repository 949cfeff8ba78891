"""Which sizes of samples a table can give, and go on giving."""

from __future__ import annotations

import math

from acmelike.errors import ConfigError
from acmelike.replay.config import TableConfig
from acmelike.replay.limiters.limits import SamplesPerInsert, exact


def impossible_sample(table: TableConfig, num_items: int) -> str | None:
    """Why the table can never give so many items at once, or None."""
    if num_items < 1:
        return (
            f"table '{table.name}': expected to sample at least 1 item, got {num_items}"
        )
    each = _each(table)
    if each is not None and num_items > table.max_items * each:
        return (
            f"table '{table.name}': a sample of {num_items} items is more than its "
            f"{table.max_items} items can ever give at once"
        )
    return None


def check_sample_size(table: TableConfig, num_items: int) -> None:
    """Refuses samples that leave a table where neither they nor inserts can proceed.

    It takes nothing that can only wait, as long as items go because they were sampled
    or evicted for `max_size`. What callers delete, and what `max_bytes` evicts when
    items share rows, it cannot know: either may leave fewer items than a sample needs.

    Args:
      table: the table to be sampled.
      num_items: n, how many items each sample asks for at once.

    Raises:
      ConfigError: `num_items` is below 1, or more than the table can ever give at once,
        or the limiter's window is too narrow for it, or its inserts may come to wait
        when the items held can no longer be sampled so often.
    """
    if (reason := impossible_sample(table, num_items)) is not None:
        raise ConfigError(reason)
    limiter = table.rate_limiter
    shortage = limiter.limits.shortage(num_items)
    if shortage is not None:
        remedy = f"widen it by {float(shortage):g}"
        if isinstance(limiter, SamplesPerInsert):
            needed = math.ceil(exact(limiter.error_buffer) + shortage / 2)
            remedy = f"raise error_buffer from {limiter.error_buffer:g} to {needed}"
        raise ConfigError(
            f"table '{table.name}': its rate limiter's window is too narrow for a "
            f"sample of {num_items} items and the {float(limiter.limits.ratio):g} of "
            f"one insert, so both would wait for ever; {remedy}"
        )
    if _may_run_out(table, num_items):
        raise ConfigError(
            f"table '{table.name}': items that may be sampled "
            f"{table.max_times_sampled or 'any number of'} times do not suffice for "
            f"samples of {num_items} items and {float(limiter.limits.ratio):g} samples "
            f"per insert, so both may come to wait for ever; sample at most min_size = "
            f"{limiter.limits.min_size} items at once, or raise it"
        )


def _may_run_out(table: TableConfig, num_items: int) -> bool:
    """Whether inserts may wait while the items held are too few for a sample.

    They wait only when there are `min_size` items, each of which can be sampled once
    more. After an eviction, the items held can give `max_size` samples, and until
    inserts wait they gain as many as they lose, but for those of one insert.
    """
    each, limits = _each(table), table.rate_limiter.limits
    if each is None or limits.most is None or num_items <= limits.min_size:
        return False
    most = table.max_times_sampled
    if limits.runs_out(num_items, most, each):
        return True
    if most is None or most == 1:
        return False  # It is full when it evicts, and each can be sampled as often.
    if limits.ratio == most and limits.most <= table.max_items:
        return False  # It never holds more than `limits.most`, so it never evicts.
    left = math.floor(table.max_items - limits.ratio) + 1
    return left * each < num_items * most


def _each(table: TableConfig) -> int | None:
    """How often one sample may hold the same item; None for any number of times."""
    return 1 if not table.replacement else table.max_times_sampled
