"""Configurations: what is refused, and that exactly the deadlocks are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay import (
    MinSize,
    Prioritized,
    SamplesPerInsert,
    check_sample_size,
)
from acmelike.replay.rate_limiter import RateLimiter


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prioritized(exponent=-0.1), "exponent >= 0, got -0.1"),
        (lambda: Prioritized(exponent=math.nan), "exponent >= 0, got nan"),
        (lambda: MinSize(min_size=0), "MinSize: expected min_size >= 1, got 0"),
        (
            lambda: SamplesPerInsert(ratio=1, min_size=0, error_buffer=1),
            "SamplesPerInsert: expected min_size >= 1, got 0",
        ),
        (
            lambda: SamplesPerInsert(ratio=0, min_size=1, error_buffer=1),
            "ratio > 0, got 0",
        ),
        (
            lambda: SamplesPerInsert(ratio=0.5, min_size=1, error_buffer=0.9),
            r"error_buffer >= max\(1, ratio\) = 1, got 0.9",
        ),
        (
            lambda: SamplesPerInsert(ratio=8, min_size=1, error_buffer=7),
            r"error_buffer >= max\(1, ratio\) = 8, got 7",
        ),
        (
            lambda: SamplesPerInsert(ratio=1, min_size=1, error_buffer=math.inf),
            "finite error_buffer",
        ),
    ],
)
def test_a_bad_value_is_refused_in_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "expected a name"),
        ({"max_size": 4, "rate_limiter": MinSize(min_size=5)}, "max_size >= min_size"),
        ({"signature": {}}, "no arrays"),
        ({"signature": np.zeros(3)}, "expected a signature of specs.Array"),
        ({"signature": specs.StringArray(())}, "plain dtypes"),
    ],
)
def test_a_bad_table_is_refused(make_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**changes)


def test_min_size_takes_any_sample_of_at_least_one_item(make_config):
    table = make_config(rate_limiter=MinSize(min_size=3))
    check_sample_size(table, 10_000)
    with pytest.raises(ConfigError, match="at least 1 item, got 0"):
        check_sample_size(table, 0)


def test_the_refusal_names_window_batch_and_remedy(make_config):
    def table(error_buffer: float):
        limiter = SamplesPerInsert(ratio=0.5, min_size=2, error_buffer=error_buffer)
        return make_config(rate_limiter=limiter)

    with pytest.raises(ConfigError) as error:
        check_sample_size(table(100), 256)
    for part in ("table 'table'", "256 items", "0.5", "from 100 to 129"):
        assert part in str(error.value)
    check_sample_size(table(129), 256)
    check_sample_size(table(128.25), 256)  # exactly wide enough


def _deadlocks(table, num_items: int, num_moves: int, prefer_insert: bool) -> bool:
    """Inserts one by one and samples until nothing can move, or `num_moves` passed."""
    limiter = RateLimiter(table.rate_limiter)
    for _ in range(num_moves):
        can_insert = limiter.blocks_insert(1) is None
        can_sample = limiter.blocks_sample(num_items) is None
        if can_insert and (prefer_insert or not can_sample):
            limiter.commit_inserts(1)
            size = limiter.num_inserted - limiter.num_deleted
            limiter.commit_deletes(max(0, size - table.max_size))
        elif can_sample:
            limiter.commit_samples(num_items)
        else:
            return True
    return False


def _is_refused(table, num_items: int) -> bool:
    try:
        check_sample_size(table, num_items)
    except ConfigError:
        return True
    return False


# No batch is a whole multiple of a step of these, so that no deadlock is stepped over.
@pytest.mark.parametrize("ratio", [0.3719, 1.0271, 2.7183])
@pytest.mark.parametrize(("min_size", "max_size"), [(1, 1), (3, 3), (3, 7)])
def test_exactly_the_configurations_that_deadlock_are_refused(
    make_config, ratio, min_size, max_size
):
    outcomes = set()
    for num_items, extra in itertools.product(range(1, 8), np.arange(0, 4, 0.5)):
        limiter = SamplesPerInsert(
            ratio=ratio, min_size=min_size, error_buffer=max(1, ratio) + extra
        )
        table = make_config(max_size=max_size, rate_limiter=limiter)
        refused = _is_refused(table, num_items)
        for prefer_insert in (True, False):
            assert _deadlocks(table, num_items, 3000, prefer_insert) == refused, (
                limiter,
                num_items,
            )
        outcomes.add(refused)
    assert outcomes == {True, False}


@pytest.mark.parametrize("ratio", [0.1, 0.4, 1 / 3, 1.0, 1.1, 2.0])
def test_a_window_without_a_hairs_breadth_to_spare_does_not_deadlock(
    make_config, ratio
):
    for num_items in range(1, 9):
        error_buffer = (num_items + ratio) / 2
        if error_buffer < max(1, ratio):
            continue
        table = make_config(
            rate_limiter=SamplesPerInsert(
                ratio=ratio, min_size=2, error_buffer=error_buffer
            )
        )
        if not _is_refused(table, num_items):
            assert not _deadlocks(table, num_items, 2000, prefer_insert=True)
            assert not _deadlocks(table, num_items, 2000, prefer_insert=False)
