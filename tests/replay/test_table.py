"""One table: storage, eviction, keys, priorities, and errors that change nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from dm_env import specs

from acmelike.core.status import resident_bytes
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    Prioritized,
    SamplesPerInsert,
    Table,
    TableInfo,
    Uniform,
)
from acmelike.replay.selectors.by_age import FifoSelector

ITEM_BYTES = 2 * 3 + 4
SAMPLERS = [Uniform(), Prioritized(), Fifo(), Lifo(), MinHeap(), MaxHeap()]


@pytest.fixture
def make_table(make_config):
    return lambda **changes: Table(make_config(**changes), seed=0)


def test_items_come_back_under_their_keys(make_table, make_items):
    table = make_table(max_size=100)
    assert table.insert(make_items(0, 30)).tolist() == list(range(30))
    assert table.insert(make_items(30, 50)).tolist() == list(range(30, 50))
    sample = table.sample(64)
    assert sample.keys.dtype == np.int64
    assert sample.data["pixels"].dtype == np.uint8
    assert sample.data["pixels"].shape == (64, 2, 3)
    np.testing.assert_array_equal(sample.data["reward"], sample.keys)
    np.testing.assert_array_equal(sample.data["pixels"][:, 1, 2], sample.keys)
    np.testing.assert_array_equal(sample.probabilities, 1 / 50)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("sizes", [[3, 5, 1, 7], [8, 8], [2, 13], [20, 1]], ids=str)
def test_the_oldest_are_evicted(make_table, make_items, sampler, sizes):
    table, num_inserted = make_table(sampler=sampler, replacement=False), 0
    for size in sizes:
        table.insert(make_items(num_inserted, num_inserted + size))
        num_inserted += size
        held = range(max(0, num_inserted - 8), num_inserted)
        sample = table.sample(len(held))
        assert set(sample.keys.tolist()) == set(held)
        np.testing.assert_array_equal(sample.data["reward"], sample.keys)
        assert table.info().num_deleted == max(0, num_inserted - 8)


def test_of_too_many_items_the_last_keep_their_priorities(make_table, make_items):
    table = make_table(max_size=2, sampler=Prioritized(exponent=1.0))
    table.insert(make_items(0, 4), np.array([5.0, 6.0, 1.0, 3.0]))
    sample = table.sample(100)
    expected = {2: 0.25, 3: 0.75}
    assert set(sample.keys.tolist()) == set(expected)
    assert sample.probabilities.tolist() == [expected[key] for key in sample.keys]


def test_info_counts(make_table, make_items):
    table = make_table()
    assert table.info().samples_per_insert == 0
    table.insert(make_items(0, 3))
    assert table.info().num_bytes == 3 * ITEM_BYTES
    table.insert(make_items(3, 10))
    table.sample(5)
    assert table.info() == TableInfo(
        name="table",
        size=8,
        max_size=8,
        num_inserted=10,
        num_sampled=5,
        num_prefetched=0,
        num_deleted=2,
        samples_per_insert=0.5,
        num_bytes=8 * ITEM_BYTES,
        num_row_bytes=0,
        # Keys and slots 12, priority and count 12, sampler 8, remover 12.
        num_index_bytes=8 * 44,
    )


def test_a_sum_tree_takes_nine_bytes_an_item(make_table, make_items):
    table = make_table(sampler=Prioritized())
    table.insert(make_items(0, 3))
    assert table.info().num_index_bytes == 3 * (44 + 9)


def test_a_selector_of_ones_own_need_not_say_what_it_takes(make_table, make_items):
    class OnlyMethods(FifoSelector):
        def __init__(self, max_size):
            super().__init__(max_size)
            del self.slot_bytes

    table = make_table(sampler=OnlyMethods)
    table.insert(make_items(0, 1))
    assert table.info().num_index_bytes == 44 - 8


def test_as_many_items_are_admitted_as_the_limiter_allows(make_table, make_items):
    # inserts - samples stays within 2 +- 3.
    table = make_table(
        rate_limiter=SamplesPerInsert(ratio=1, min_size=2, error_buffer=3)
    )
    assert table.insert(make_items(0, 9)).tolist() == [0, 1, 2, 3, 4]
    assert table.insert(make_items(5, 9)).tolist() == []
    table.sample(2)
    assert table.insert(make_items(5, 9)).tolist() == [5, 6]
    assert table.info().num_inserted == 7
    assert set(table.sample(100).data["reward"].tolist()) == set(range(7))


def test_samples_are_fresh_contiguous_arrays(make_table, make_items):
    table = make_table(sampler=Fifo(), replacement=False)
    table.insert(make_items(0, 8))
    first = table.sample(8)
    for leaf in first.data.values():
        assert leaf.flags.c_contiguous
        assert leaf.flags.owndata
        leaf[...] = 77
    first.keys[...] = 77
    np.testing.assert_array_equal(table.sample(8).data["reward"], np.arange(8))


def test_a_caller_may_reuse_its_buffers(make_table, make_items):
    table = make_table(sampler=Prioritized(exponent=1.0))
    items, priorities = make_items(0, 4), np.array([1.0, 0.0, 0.0, 0.0])
    table.insert(items, priorities)
    items["pixels"][...] = 9
    items["reward"][...] = 9
    priorities[...] = 1.0
    sample = table.sample(20)
    assert set(sample.data["reward"].tolist()) == {0.0}
    assert not sample.data["pixels"].any()


def _changed(items, **changes):
    return items | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda items: _changed(items, reward=items["reward"].astype(np.float64)),
            r"items\['reward'\] to be float32 \[4\], got float64 \[4\]",
        ),
        (
            lambda items: _changed(items, pixels=items["pixels"][:, :1]),
            r"items\['pixels'\] to be uint8 \[4, 2, 3\], got uint8 \[4, 1, 3\]",
        ),
        (
            lambda items: _changed(items, reward=items["reward"][:3]),
            r"items\['reward'\] to be float32 \[4\], got float32 \[3\]",
        ),
        (
            lambda items: _changed(items, pixels=np.uint8(0)),
            r"items\['pixels'\] to be uint8 \[0, 2, 3\], got uint8 \[\]",
        ),
        (lambda items: {"reward": items["reward"]}, "expected items of structure"),
        (lambda items: tuple(items.values()), "expected items of structure"),
        (
            lambda items: {name: leaf[:0] for name, leaf in items.items()},
            "at least 1 item to insert, got 0",
        ),
    ],
)
def test_wrong_items_are_refused_and_change_nothing(
    make_table, make_items, change, message
):
    table = make_table()
    table.insert(make_items(0, 3))
    before = table.info()
    with pytest.raises(ValueError, match=message) as error:
        table.insert(change(make_items(3, 7)))
    assert "table 'table'" in str(error.value)
    assert table.info() == before


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf])
def test_wrong_priorities_are_refused_and_change_nothing(
    make_table, make_items, sampler, bad
):
    table = make_table(
        max_size=4,
        sampler=sampler,
        replacement=False,
        rate_limiter=SamplesPerInsert(ratio=1, min_size=2, error_buffer=3),
    )
    table.insert(make_items(0, 4))
    before = table.info()
    # The limiter would admit only the first item; the bad priority is the second.
    with pytest.raises(ValueError, match=f"table 'table': .* got {bad}"):
        table.insert(make_items(10, 12), np.array([1.0, bad]))
    with pytest.raises(ValueError, match=f"table 'table': .* got {bad}"):
        table.update_priorities(np.array([0, 1]), np.array([7.0, bad]))
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        table.update_priorities(np.array([0, 1]), np.ones(3))
    with pytest.raises(ValueError, match="expected keys of integers"):
        table.update_priorities(np.array([0.0, 1.0]), np.ones(2))
    assert table.info() == before
    sample = table.sample(4)
    assert set(sample.data["reward"].tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert sample.priorities.tolist() == [1.0] * 4


def test_sampling_less_than_one_item_is_refused(make_table, make_items):
    table = make_table()
    table.insert(make_items(0, 1))
    with pytest.raises(ValueError, match="at least 1 item, got 0"):
        table.sample(0)


def test_priorities_of_evicted_items_are_ignored(make_table, make_items):
    table = make_table(max_size=4, sampler=Prioritized(exponent=1.0))
    table.insert(make_items(0, 6), np.ones(6))
    # 0 and 1 are gone, their slots hold 4 and 5; 6 is not there yet; 2 is given twice.
    keys = np.array([0, 2, 1, 6, -3, 2, 3])
    values = np.array([9.0, 9.0, 9.0, 9.0, 9.0, 2.0, 4.0])
    assert table.update_priorities(keys, values) == 3
    sample = table.sample(300)
    expected = {2: 0.25, 3: 0.5, 4: 0.125, 5: 0.125}
    assert set(sample.keys.tolist()) == set(expected)
    assert sample.probabilities.tolist() == [expected[key] for key in sample.keys]
    assert table.update_priorities(np.array([], np.int64), np.array([])) == 0


@pytest.mark.parametrize("max_size", [1, 2, 3, 4, 5])
def test_no_other_number_is_the_key_of_an_item(make_table, make_items, max_size):
    table = make_table(max_size=max_size)
    numbers, held = np.arange(-40, 40), []
    for k in range(2 * max_size + 1):
        for key in set(numbers.tolist()) - set(held):
            assert table.update_priorities(np.array([key]), np.ones(1)) == 0
            assert table.delete(np.array([key])) == 0
        held = [*held, *table.insert(make_items(k, k + 1)).tolist()][-max_size:]
        assert table.update_priorities(np.array(held), np.ones(len(held))) == len(held)
    table.delete(np.array(held))
    assert table.update_priorities(numbers, np.ones(len(numbers))) == 0


def test_an_empty_table_has_no_keys(make_table, make_items):
    keys, ones = np.array([0, 3, 5, -1]), np.ones(4)
    table = make_table(max_size=4)
    assert table.update_priorities(keys, ones) == 0
    table.insert(make_items(0, 1))
    assert table.update_priorities(keys, ones) == 1
    table.reset()
    assert table.update_priorities(keys, ones) == 0


def test_new_items_get_the_largest_priority_so_far(make_table, make_items):
    table = make_table(max_size=4, sampler=Prioritized(exponent=1.0))

    def probabilities() -> dict[int, float]:
        sample = table.sample(300)
        return dict(zip(sample.keys.tolist(), sample.probabilities, strict=True))

    table.insert(make_items(0, 1))
    table.insert(make_items(1, 2), np.array([3.0]))
    assert probabilities() == {0: 1 / 4, 1: 3 / 4}
    table.insert(make_items(2, 3))
    assert probabilities() == {0: 1 / 7, 1: 3 / 7, 2: 3 / 7}
    table.update_priorities(np.array([0, 99]), np.array([5.0, 1000.0]))
    table.insert(make_items(3, 4))
    assert probabilities()[3] == 5 / 16


@pytest.mark.long
@pytest.mark.parametrize(
    ("sampler", "weights"),
    [
        (Uniform(), [1, 1, 1, 1, 1, 1]),
        (Prioritized(exponent=1.0), [4, 2, 0, 3, 5, 1]),
        (Prioritized(exponent=0.5), [2, 2**0.5, 0, 3**0.5, 5**0.5, 1]),
    ],
    ids=str,
)
@pytest.mark.parametrize("at_once", [1, 100])
def test_after_all_changes_items_are_drawn_as_often_as_they_should(
    make_table, make_items, sampler, weights, at_once
):
    table = make_table(sampler=sampler, max_size=7)
    keys = table.insert(make_items(0, 4), np.array([9.0, 8.0, 4.0, 2.0]))
    keys = np.append(keys, table.insert(make_items(4, 9), np.array([7.0] * 4 + [1])))
    # 0 and 1 were evicted; 7 is deleted, and 4, 5 and 6 are updated.
    assert table.delete(keys[[7, 1]]) == 1
    assert table.update_priorities(keys[4:7], np.array([0.0, 3.0, 5.0])) == 3
    numbers, num_draws = [2, 3, 4, 5, 6, 8], 6000
    drawn = [table.sample(at_once) for _ in range(num_draws // at_once)]
    found = np.concatenate([sample.data["reward"] for sample in drawn]).astype(int)
    shares = np.zeros(9)
    shares[numbers] = np.array(weights) / np.sum(weights)
    probabilities = np.concatenate([sample.probabilities for sample in drawn])
    np.testing.assert_allclose(probabilities, shares[found], rtol=1e-12)
    assert _chi_square(found, shares) < 20.5  # 5 degrees at most: once in a thousand


@pytest.mark.long
@pytest.mark.parametrize(
    ("remover", "weights"),
    [(Uniform(), [1, 1, 1, 1]), (Prioritized(exponent=1.0), [1, 2, 0, 3])],
    ids=str,
)
def test_who_makes_way_by_chance_does_so_as_often_as_it_should(
    make_config, make_items, remover, weights
):
    gone, items = [], make_items(0, 4)
    table = Table(make_config(max_size=3, remover=remover, sampler=Fifo()), seed=0)
    for _ in range(1500):
        table.reset()
        keys = table.insert(items, np.array([1.0, 2.0, 0.0, 3.0]))
        gone += set(range(4)) - {keys.tolist().index(k) for k in table.dump()["keys"]}
    shares = np.array(weights) / np.sum(weights)
    assert len(gone) == 1500
    assert _chi_square(gone, shares) < 16.3  # 3 degrees at most: once in a thousand


def _chi_square(found, shares):
    """The statistic of drawn numbers; none of share zero may be among them."""
    counts, possible = np.bincount(found, minlength=len(shares)), shares > 0
    assert counts[~possible].sum() == 0
    means = len(found) * shares[possible]
    return ((counts[possible] - means) ** 2 / means).sum()


def test_structure_survives(make_config):
    class Pair(NamedTuple):
        left: object
        right: object

    signature = Pair({"a": specs.Array((2,), np.int32)}, [specs.Array((), bool)])
    table = Table(make_config(signature=signature), seed=0)
    table.insert(Pair({"a": np.ones((3, 2), np.int32)}, [np.ones(3, bool)]))
    data = table.sample(5).data
    assert isinstance(data, Pair)
    assert data.left["a"].shape == (5, 2)
    assert data.right[0].shape == (5,)
    with pytest.raises(ValueError, match="expected items of structure"):
        table.insert(({"a": np.ones((3, 2), np.int32)}, [np.ones(3, bool)]))
    with pytest.raises(ValueError, match=r"items\.left\['a'\] to be int32 \[1, 2\]"):
        table.insert(Pair({"a": np.ones((1, 2), np.int64)}, [np.ones(1, bool)]))


def test_memory_is_not_touched_before_it_is_used(make_table, make_items):
    before = resident_bytes()
    table = make_table(max_size=10**8, sampler=Fifo(), replacement=False)
    table.insert(make_items(0, 3))
    assert resident_bytes() - before < 10**8  # all of it would be 10^9


def test_two_tables_with_one_seed_draw_the_same(make_table, make_items):
    tables = [make_table(), make_table()]
    for table in tables:
        table.insert(make_items(0, 8))
    np.testing.assert_array_equal(tables[0].sample(30).keys, tables[1].sample(30).keys)
