"""Configurations: which values are refused, and that exactly the deadlocks are."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.replay import (
    MinSize,
    Prioritized,
    Queue,
    Raw,
    Rows,
    SamplesPerInsert,
    Table,
    Uniform,
    check_sample_size,
)
from acmelike.replay.config import impossible_sample
from acmelike.replay.limiters import RateLimiter

FRAME = specs.Array((3,), np.uint8)


def raw(min_diff, max_diff):
    return Raw(samples_per_insert=1, min_size=1, min_diff=min_diff, max_diff=max_diff)


def rows(length):
    return Rows(column="f", row=FRAME, length=length)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prioritized(exponent=-0.1), "exponent must be at least 0: -0.1"),
        (lambda: Prioritized(exponent=math.nan), "exponent must be at least 0: nan"),
        (lambda: MinSize(min_size=0), "MinSize: min_size must be at least 1: 0"),
        (
            lambda: SamplesPerInsert(ratio=1, min_size=0, error_buffer=1),
            "SamplesPerInsert: min_size must be at least 1: 0",
        ),
        (
            lambda: SamplesPerInsert(ratio=0, min_size=1, error_buffer=1),
            "ratio must be finite and above 0: 0",
        ),
        (
            lambda: SamplesPerInsert(ratio=0.5, min_size=1, error_buffer=0.9),
            "error_buffer must be at least 1: 0.9",
        ),
        (
            lambda: SamplesPerInsert(ratio=8, min_size=1, error_buffer=7),
            "error_buffer must be at least the ratio, 8: 7",
        ),
        (
            lambda: SamplesPerInsert(ratio=1, min_size=1, error_buffer=math.inf),
            "error_buffer must be at least 1: inf",
        ),
        (lambda: MinSize(min_size=1.5), "min_size must be a whole number: 1.5"),
        (lambda: Queue(size=True), "Queue: size must be a whole number: True"),
        (lambda: raw(math.inf, math.inf), "min_diff must be below inf .*: inf and inf"),
        (lambda: raw(-math.inf, -math.inf), "max_diff above -inf, .*: -inf and -inf"),
        (lambda: rows(-1), "Rows of column 'f': length must be at least 1: -1"),
        (lambda: rows(0), "length must be at least 1: 0"),
        (lambda: rows((2, 0)), r"length must be at least 1: \(2, 0\)"),
        (lambda: rows(2.0), "length must be a whole number: 2.0"),
        (lambda: Rows(column="f", row=np.zeros(2)), "row to be a specs.Array, got"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "table: name must not be empty"),
        (
            {"max_size": 4, "rate_limiter": MinSize(min_size=5)},
            "max_size must be at least min_size = 5: 4",
        ),
        ({"signature": {}}, "no arrays"),
        ({"signature": np.zeros(3)}, "expected a signature of specs.Array"),
        ({"signature": specs.StringArray(())}, "plain dtypes"),
        ({"max_size": 2.5}, "max_size must be a whole number: 2.5"),
        ({"max_size": 0}, "max_size must be at least 1: 0$"),
        ({"max_times_sampled": 1.5}, "max_times_sampled must be a whole number: 1.5"),
        ({"max_times_sampled": 0}, "max_times_sampled must be at least 1: 0"),
        ({"max_bytes": "1G"}, "max_bytes must be a whole number: 1G"),
        ({"sampler": "uniform"}, r"sampler such as Uniform\(\) .* got 'uniform'"),
        ({"sampler": Uniform}, r"sampler such as Uniform\(\) .* got <class"),
        ({"remover": None}, "expected a remover such as .* got None"),
        ({"rate_limiter": None}, "expected a rate_limiter such as .* got None"),
        ({"rate_limiter": MinSize}, "expected a rate_limiter such as .* got <class"),
        # An item is 6 bytes of pixels and 4 of reward.
        (
            {"max_bytes": 9},
            "max_bytes must be at least 10, the bytes of the smallest item: 9",
        ),
        (
            {"max_bytes": 29, "rate_limiter": MinSize(min_size=3)},
            "be enough for min_size = 3 items: 29, which is enough for 2",
        ),
        # Two rows are two numbers of 8 bytes, and may be the same 3 bytes.
        (
            {"signature": rows(2), "max_bytes": 18},
            "must be at least 19, the bytes of the smallest item: 18",
        ),
    ],
)
def test_a_bad_table_is_refused(make_config, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        make_config(**changes)
    assert "\n" not in str(error.value)
    assert "table" in str(error.value)


def test_bytes_for_one_item_are_enough_for_one(make_config):
    assert make_config(max_bytes=10).max_items == 1
    assert make_config(max_bytes=19, signature=rows(2)).max_items == 1


def test_a_whole_number_of_numpy_is_one():
    assert MinSize(min_size=np.int64(3)).limits.min_size == 3


def test_a_refusal_is_a_value_error_too():
    """Callers of a library expect a ValueError for a bad argument."""
    with pytest.raises(ValueError, match="min_size must be at least 1: 0"):
        MinSize(min_size=0)


def test_samples_of_more_than_there_are_bytes_for_are_refused(make_config):
    table = make_config(max_bytes=39, replacement=False)
    assert impossible_sample(table, 3) is None
    with pytest.raises(ConfigError, match="4 items is more than its 3 items can ever"):
        check_sample_size(table, 4)


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


def _deadlocks(table, num_items: int, num_moves: int, prefer_insert: float) -> bool:
    """Whether inserts and samples block each other within `num_moves` moves.

    Items are inserted one by one, and removed when they were sampled once, or never.
    Where both can proceed, an insert does with the probability `prefer_insert`.
    """
    rng = np.random.default_rng(0)
    limiter = RateLimiter(table.rate_limiter)
    once = table.max_times_sampled == 1
    for _ in range(num_moves):
        can_insert = limiter.blocks_insert(1) is None
        can_sample = limiter.blocks_sample(num_items) is None
        if once and limiter.size < num_items:
            can_sample = False
        if can_insert and (not can_sample or rng.random() < prefer_insert):
            limiter.count_inserts(1)
            limiter.count_deletes(max(0, limiter.size - table.max_size))
        elif can_sample:
            limiter.count_samples(num_items)
            limiter.count_deletes(num_items if once else 0)
        else:
            return True
    return False


def _is_refused(table, num_items: int) -> bool:
    try:
        check_sample_size(table, num_items)
    except ConfigError:
        return True
    return False


# No sample size is a whole multiple of these ratios, so no deadlock is skipped.
@pytest.mark.long
@pytest.mark.parametrize("ratio", [0.3719, 1.0271, 2.7183])
@pytest.mark.parametrize(("min_size", "max_size"), [(1, 1), (3, 3), (3, 7)])
def test_of_items_sampled_for_ever_exactly_the_deadlocks_are_refused(
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
    num_accepted = 0
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
            num_accepted += 1
            assert not _deadlocks(table, num_items, 2000, prefer_insert=True)
            assert not _deadlocks(table, num_items, 2000, prefer_insert=False)
    assert num_accepted


@pytest.mark.long
@pytest.mark.parametrize("ratio", [0.3719, 0.7183, 1.0])
@pytest.mark.parametrize(("min_size", "max_size"), [(1, 8), (3, 8), (1, 40)])
def test_of_items_sampled_once_exactly_the_deadlocks_are_refused(
    make_config, ratio, min_size, max_size
):
    outcomes = set()
    for num_items, extra in itertools.product(range(1, 8), np.arange(0, 8, 0.5)):
        limiter = SamplesPerInsert(
            ratio=ratio, min_size=min_size, error_buffer=max(1, ratio) + extra
        )
        table = make_config(
            max_size=max_size, rate_limiter=limiter, max_times_sampled=1
        )
        deadlocks = any(_deadlocks(table, num_items, 500, p) for p in (1, 0.5, 0))
        assert deadlocks == _is_refused(table, num_items), (limiter, num_items)
        outcomes.add(deadlocks)
    assert outcomes == {True, False}


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [*({"max_times_sampled": n} for n in (1, 2, 3)), {"replacement": False}],
    ids=str,
)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("max_size", [6, 30])
def test_of_items_sampled_some_times_no_deadlock_is_accepted(
    make_config, make_items, changes, ratio, max_size
):
    """Whether one deadlocks is random; some that do not are refused too."""
    num_accepted = 0
    for num_items, extra in itertools.product(range(2, 7), np.arange(0, 10, 2.5)):
        limiter = SamplesPerInsert(
            ratio=ratio, min_size=2, error_buffer=max(1, ratio) + extra
        )
        config = make_config(max_size=max_size, rate_limiter=limiter, **changes)
        if _is_refused(config, num_items):
            continue
        num_accepted += 1
        table, item = Table(config, seed=0), make_items(0, 1)
        for _ in range(120):
            if table.blocks_insert(1) is None:
                table.insert(item)
            else:
                assert table.blocks_sample(num_items) is None, (limiter, num_items)
                table.sample(num_items)
    assert num_accepted


@pytest.mark.parametrize(
    ("limiter", "num_items", "changes"),
    [
        # Two samples for each insert, of items that give one.
        (
            SamplesPerInsert(ratio=2, min_size=1, error_buffer=4),
            2,
            {"max_times_sampled": 1},
        ),
        # Two items come before inserts wait; nothing was sampled of 8 different ones.
        (
            SamplesPerInsert(ratio=4, min_size=1, error_buffer=6),
            8,
            {"replacement": False},
        ),
    ],
)
def test_inserts_that_wait_while_too_little_is_left_are_refused(
    make_config, limiter, num_items, changes
):
    check_sample_size(make_config(rate_limiter=limiter), num_items)
    with pytest.raises(ConfigError, match=f"table 'table'.* samples of {num_items}"):
        check_sample_size(make_config(rate_limiter=limiter, **changes), num_items)


def test_a_full_table_takes_what_its_items_do(make_config):
    config = make_config(
        max_size=10,
        signature={"x": specs.Array((2,), np.float32), "f": rows(4)},
    )
    # Two numbers, four ids, and one row of its own for each item.
    assert config.full_bytes == 10 * (8 + 4 * 8 + 3)
    # An item that goes on three rows after the one before brings three.
    three = dataclasses.replace(config, rows_per_item=3)
    assert three.full_bytes == 10 * (8 + 4 * 8 + 3 * 3)
    assert make_config(max_size=10, max_bytes=50).full_bytes == 50
