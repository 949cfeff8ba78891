"""Rules of a table: eviction, sampling quotas, keys, reset, and rate limiters."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.errors import ConfigError
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Queue,
    Raw,
    SamplesPerInsert,
    Table,
    TableConfig,
    Uniform,
    check_sample_size,
)
from tests.replay.conftest import SIGNATURE


@pytest.fixture
def make_table(make_config):
    return lambda **changes: Table(make_config(**changes), seed=0)


def contents(table):
    """The numbers of all items; draws no sample."""
    return sorted(table.dump()["data"]["reward"].astype(int).tolist())


# --- Which item is evicted ------------------------------------------------------------


@pytest.mark.parametrize(
    ("remover", "priorities", "left"),
    [
        (Fifo(), [1, 2, 3, 4, 5], [2, 3, 4]),
        # The newest goes, so the oldest stay.
        (Lifo(), [1, 2, 3, 4, 5], [0, 1, 2]),
        (MinHeap(), [3, 1, 2, 5, 4], [0, 3, 4]),
        # What comes with the lowest priority goes at once.
        (MinHeap(), [3, 4, 5, 1, 2], [0, 1, 2]),
        (MaxHeap(), [3, 4, 5, 1, 2], [0, 3, 4]),
        (Prioritized(exponent=1.0), [0, 1, 0, 1, 1], [0, 2, None]),
    ],
    ids=str,
)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_item_is_inserted_first_and_then_one_goes(
    make_table, make_items, remover, priorities, left, at_once
):
    table = make_table(max_size=3, remover=remover, sampler=Uniform())
    priorities = np.array(priorities, float)
    if at_once:
        table.insert(make_items(0, 5), priorities)
    else:
        for k in range(5):
            table.insert(make_items(k, k + 1), priorities[k : k + 1])
    found = contents(table)
    assert len(found) == 3
    assert set(found) >= {k for k in left if k is not None}
    info = table.info()
    assert (info.num_inserted, info.num_deleted, info.size) == (5, 2, 3)


def test_a_selector_of_ones_own(make_config, make_items):
    class Third:
        """Always chooses the third of those held, in the order of their slots."""

        def __init__(self, max_size):
            self.max_size, self.held = max_size, set()

        def insert(self, slots, priorities):
            self.held |= set(slots.tolist())

        def delete(self, slots):
            self.held -= set(slots.tolist())

        def update(self, slots, priorities):
            pass

        def sample(self, num_items, rng):
            third = sorted(self.held)[2]
            return np.full(num_items, third), np.ones(num_items)

    table = Table(make_config(sampler=Third, remover=Third, max_size=4), seed=0)
    table.insert(make_items(0, 6))
    # Of 0, 1, 2, 3, 4 goes 2; 5 takes its slot and goes at once.
    assert contents(table) == [0, 1, 3, 4]
    assert table.sample(2).data["reward"].tolist() == [3, 3]


# --- How often it may be sampled ------------------------------------------------------


def test_an_item_sampled_often_enough_goes(make_table, make_items):
    table = make_table(
        max_size=5,
        sampler=Fifo(),
        max_times_sampled=2,
        rate_limiter=MinSize(min_size=1),
    )
    table.insert(make_items(0, 3))
    sample = table.sample(3)
    assert sample.data["reward"].tolist() == [0, 0, 1]
    assert sample.times_sampled.tolist() == [2, 2, 1]
    assert contents(table) == [1, 2]
    assert table.blocks_sample(3) is None
    assert table.blocks_sample(4) == "3 items left to sample, of 4"
    assert table.sample(3).data["reward"].tolist() == [1, 2, 2]
    assert table.info().num_deleted == 3
    assert table.blocks_sample(1) == "minimum size: 0 items of 1"


@pytest.mark.parametrize("sampler", [Uniform(), Prioritized(exponent=1.0)], ids=str)
def test_no_item_is_drawn_more_often_than_it_may(make_table, make_items, sampler):
    table = make_table(max_size=100, sampler=sampler, max_times_sampled=3)
    priorities = np.geomspace(1, 1e6, 40)
    table.insert(make_items(0, 40), priorities)
    counts = np.zeros(40, int)
    for num_items in (50, 1, 30, 39):
        counts += np.bincount(
            table.sample(num_items).data["reward"].astype(int), minlength=40
        )
    assert counts.tolist() == [3] * 40
    assert contents(table) == []


@pytest.mark.parametrize("kind", ["queue", "stack"])
def test_queues_and_stacks(make_items, kind):
    make = getattr(TableConfig, kind)
    table = Table(make("table", SIGNATURE, 3), seed=0)
    check_sample_size(make("table", SIGNATURE, 3), 3)
    assert table.insert(make_items(0, 5)).tolist() == [0, 1, 2]
    assert table.blocks_insert(1) is not None
    order = [0, 1, 2] if kind == "queue" else [2, 1, 0]
    assert table.sample(2).data["reward"].tolist() == order[:2]
    assert len(table.insert(make_items(3, 6))) == 2
    found = [int(table.sample(1).data["reward"][0]) for _ in range(3)]
    assert found == ([2, 3, 4] if kind == "queue" else [4, 3, 0])
    assert table.info().num_sampled == table.info().num_deleted == 5


# --- Without replacement --------------------------------------------------------------


@pytest.mark.parametrize("sampler", [Uniform(), Prioritized(exponent=1.0)], ids=str)
def test_without_replacement_a_sample_has_no_item_twice(
    make_table, make_items, sampler
):
    table = make_table(max_size=50, sampler=sampler, replacement=False)
    # So unlike that nearly every pick falls on the same item.
    priorities = np.geomspace(1e-6, 1e6, 50)
    table.insert(make_items(0, 50), priorities)
    for num_items in (50, 1, 25):
        sample = table.sample(num_items)
        assert len(set(sample.keys.tolist())) == num_items
    assert table.blocks_sample(51) == "50 items left to sample, of 51"
    # Nothing of it lasts.
    sample = table.sample(1)
    is_uniform = isinstance(sampler, Uniform)
    share = 1 / 50 if is_uniform else sample.priorities / priorities.sum()
    np.testing.assert_allclose(sample.probabilities, share, rtol=1e-9)
    assert len(contents(table)) == 50


@pytest.mark.long
def test_without_replacement_each_pick_is_among_those_left(make_table, make_items):
    priorities, counts = np.array([1.0, 2.0, 3.0, 4.0]), np.zeros((4, 4))
    table = make_table(max_size=4, sampler=Prioritized(exponent=1.0), replacement=False)
    table.insert(make_items(0, 4), priorities)
    num_draws = 20_000
    samples = [table.sample(2) for _ in range(num_draws)]
    first, second = np.stack([s.data["reward"] for s in samples], axis=1).astype(int)
    p_first, p_second = priorities[first] / 10, priorities[second]
    np.testing.assert_allclose(
        np.stack([sample.probabilities for sample in samples], axis=1),
        [p_first, p_second / (10 - priorities[first])],
    )
    np.add.at(counts, (first, second), 1)
    means = num_draws * np.array(
        [[p * q / (10 - p) / 10 for q in priorities] for p in priorities]
    )
    different = ~np.eye(4, dtype=bool)
    assert counts[~different].sum() == 0
    chi_square = ((counts - means)[different] ** 2 / means[different]).sum()
    assert chi_square < 31.3  # 11 degrees of freedom: exceeded once in a thousand


@pytest.mark.parametrize(
    "changes",
    [{"replacement": False}, {"max_times_sampled": 1}],
    ids=["without replacement", "once"],
)
def test_more_than_a_table_can_ever_give_at_once_is_refused(make_config, changes):
    config = make_config(max_size=8, **changes)
    check_sample_size(config, 8)
    with pytest.raises(ConfigError, match="a sample of 9 items is more than its 8"):
        check_sample_size(config, 9)


# --- By key, and from the start -------------------------------------------------------


def test_items_are_deleted_by_key_and_their_keys_never_come_again(
    make_table, make_items
):
    table = make_table(max_size=4)
    keys = table.insert(make_items(0, 4))
    assert table.delete(keys[[1, 3, 1]]) == 2
    assert table.delete(np.append(keys, [99, -1])) == 2
    assert contents(table) == []
    later = table.insert(make_items(4, 8))
    assert not set(later.tolist()) & set(keys.tolist())
    assert table.delete(keys) == 0
    assert contents(table) == [4, 5, 6, 7]
    info = table.info()
    assert (info.num_inserted, info.num_deleted, info.size) == (8, 4, 4)


def test_deletions_let_inserts_in_up_to_the_minimum_size(make_table, make_items):
    table = make_table(
        rate_limiter=SamplesPerInsert(ratio=1, min_size=3, error_buffer=1)
    )
    keys = table.insert(make_items(0, 9))
    assert len(keys) == 4
    table.delete(keys[:2])
    assert table.blocks_sample(1) == "minimum size: 2 items of 3"
    assert len(table.insert(make_items(4, 9))) == 1


def test_assigned_items_have_other_contents_and_count_as_no_insert(
    make_table, make_items
):
    table = make_table(sampler=MaxHeap())
    keys = table.insert(make_items(0, 3), np.ones(3))
    table.delete(keys[:1])
    found = table.assign(keys[[0, 2]], make_items(7, 9), np.array([5.0, 9.0]))
    assert found == 1
    assert contents(table) == [1, 8]
    assert table.sample(1).data["reward"].tolist() == [8]
    assert table.info().num_inserted == 3
    with pytest.raises(ValueError, match=r"2 different keys.*got \[1, 1\]"):
        table.assign(keys[[1, 1]], make_items(0, 2), np.ones(2))


@pytest.mark.parametrize("sampler", [MinHeap(), MaxHeap()], ids=str)
def test_priorities_are_updated_in_the_order_of_the_keys(
    make_table, make_items, sampler
):
    table = make_table(sampler=sampler, replacement=False)
    keys = table.insert(make_items(0, 4))
    # Of equal ones, the first is the one that has longest not been touched.
    table.update_priorities(keys[[2, 3, 0, 1, 3]], np.array([5.0, 9.0, 5.0, 5.0, 5.0]))
    assert table.sample(4).data["reward"].tolist() == [2, 0, 1, 3]


def test_after_a_reset_it_is_as_new(make_table, make_items):
    table = make_table(
        max_size=4,
        sampler=Prioritized(exponent=1.0),
        rate_limiter=SamplesPerInsert(ratio=1, min_size=2, error_buffer=2),
    )
    keys = table.insert(make_items(0, 4), np.full(4, 100.0))
    table.sample(1)
    table.reset()
    assert table.info() == make_table(max_size=4).info()
    assert table.update_priorities(keys, np.ones(4)) == 0
    again = table.insert(make_items(10, 15))
    assert len(again) == 4
    assert not set(again.tolist()) & set(keys.tolist())
    assert contents(table) == [10, 11, 12, 13]
    assert table.sample(1).priorities.tolist() == [1.0]


def test_a_limiter_can_be_changed_and_the_counters_stay(make_table, make_items):
    table = make_table(rate_limiter=Queue(size=2))
    assert len(table.insert(make_items(0, 5))) == 2
    table.set_rate_limiter(MinSize(min_size=4))
    assert len(table.insert(make_items(2, 5))) == 3
    table.sample(6)
    table.set_rate_limiter(SamplesPerInsert(ratio=1, min_size=1, error_buffer=1))
    assert table.blocks_sample(1).startswith("samples per insert: 6 items sampled")
    with pytest.raises(ConfigError, match="max_size must be at least min_size = 9: 8"):
        table.set_rate_limiter(MinSize(min_size=9))


# --- Refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Queue(size=0), "Queue: size must be at least 1: 0"),
        (
            lambda: Raw(samples_per_insert=0, min_size=1, min_diff=0, max_diff=1),
            "Raw: samples_per_insert must be finite and above 0: 0",
        ),
        (
            lambda: Raw(samples_per_insert=1, min_size=1, min_diff=2, max_diff=1),
            "min_diff must be at most max_diff: 2 and 1",
        ),
        (
            lambda: Raw(samples_per_insert=2, min_size=1, min_diff=0, max_diff=1),
            "from min_diff 0 to max_diff 1 is 2 too narrow",
        ),
    ],
)
def test_a_limiter_that_can_only_deadlock_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_raw_limits_are_taken_as_they_are(make_table, make_items):
    table = make_table(
        rate_limiter=Raw(samples_per_insert=2, min_size=1, min_diff=-1, max_diff=4)
    )
    assert len(table.insert(make_items(0, 5))) == 2
    # 2 * 2 - 5 is -1, the least there may be.
    assert table.blocks_sample(5) is None
    assert table.blocks_sample(6) is not None
