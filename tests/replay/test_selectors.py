"""What all selectors promise, and what each of them promises besides."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from acmelike.replay import Fifo, Lifo, MaxHeap, MinHeap, Prioritized, Uniform
from acmelike.replay.selectors.base import OrderedSelector
from acmelike.replay.selectors.make import make_selector

BY_CHANCE = [Uniform(), Prioritized(exponent=0.6), Prioritized(exponent=0.0)]
IN_ORDER = [Fifo(), Lifo(), MinHeap(), MaxHeap()]


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _slots(*slots: int) -> np.ndarray:
    return np.array(slots, np.int64)


@pytest.fixture(params=BY_CHANCE + IN_ORDER, ids=str)
def selector(request):
    return make_selector(request.param, max_size=10)


def test_samples_are_slots_and_probabilities(selector):
    selector.insert(_slots(2, 5, 7), np.array([1.0, 2.0, 3.0]))
    slots, probabilities = selector.sample(6, _rng())
    assert slots.shape == probabilities.shape == (6,)
    assert slots.dtype == np.int64
    assert probabilities.dtype == np.float64
    assert ((probabilities > 0) & (probabilities <= 1)).all()


def _all_held(selector, num_held, rng):
    """Every slot that is ever drawn."""
    if isinstance(selector, OrderedSelector):
        return set(selector.first(num_held + 5).tolist())
    return set(selector.sample(150, rng)[0].tolist())


def test_exactly_the_held_slots_are_drawn(selector):
    selector.insert(_slots(2, 5, 7, 0), np.ones(4))
    selector.delete(_slots(5, 2))
    selector.insert(_slots(9, 5), np.ones(2))
    selector.delete(_slots(0))
    assert _all_held(selector, 3, _rng()) == {5, 7, 9}


def test_random_insertions_and_deletions_are_followed(selector):
    rng, held = _rng(), set()
    for _ in range(60):
        absent = rng.permutation([slot for slot in range(10) if slot not in held])
        added = absent[: rng.integers(len(absent) + 1)].astype(np.int64)
        selector.insert(added, rng.random(len(added)) + 0.5)
        held |= set(added.tolist())
        removed = rng.permutation(sorted(held)).astype(np.int64)
        removed = removed[: rng.integers(len(removed) + 1)]
        selector.delete(removed)
        held -= set(removed.tolist())
        if held:
            assert _all_held(selector, len(held), rng) == held


def test_one_that_is_emptied_begins_anew(selector):
    # Between the oldest and the youngest more slots come and go than it has room for.
    selector.insert(_slots(0, 1), np.ones(2))
    for youngest, gone in [(2, 1), (1, 2)] * 20:
        selector.insert(_slots(youngest), np.ones(1))
        selector.delete(_slots(gone))
    assert _all_held(selector, 2, _rng()) == {0, 1}
    selector.delete(_slots(1))
    selector.delete(_slots(0))
    selector.insert(_slots(4, 6), np.ones(2))
    assert _all_held(selector, 2, _rng()) == {4, 6}


def test_the_same_stream_draws_the_same_slots(selector):
    selector.insert(np.arange(10), np.arange(10.0))
    np.testing.assert_array_equal(
        selector.sample(20, _rng()), selector.sample(20, _rng())
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Uniform(), [0.25, 0.25, 0.25, 0.25]),
        (Prioritized(exponent=1.0), [0.0, 0.1, 0.3, 0.6]),
        (Prioritized(exponent=2.0), [0.0, 1 / 46, 9 / 46, 36 / 46]),
        (Prioritized(exponent=0.0), [0.0, 1 / 3, 1 / 3, 1 / 3]),
    ],
    ids=str,
)
def test_slots_are_drawn_as_often_as_their_probability_says(config, expected):
    num_draws = 20_000
    selector = make_selector(config, max_size=5)
    selector.insert(_slots(0, 1, 2, 4), np.array([0.0, 1.0, 3.0, 6.0]))
    slots, probabilities = selector.sample(num_draws, _rng())
    by_slot = np.zeros(5)
    by_slot[[0, 1, 2, 4]] = expected
    np.testing.assert_allclose(probabilities, by_slot[slots], rtol=1e-12)
    counts, drawn = np.bincount(slots, minlength=5), by_slot > 0
    assert counts[~drawn].sum() == 0
    means = num_draws * by_slot[drawn]
    chi_square = ((counts[drawn] - means) ** 2 / means).sum()
    assert chi_square < 16.3  # 3 degrees of freedom: exceeded once in a thousand


def test_updates_change_the_distribution():
    selector = make_selector(Prioritized(exponent=1.0), max_size=4)
    selector.insert(np.arange(4), np.ones(4))
    selector.update(_slots(0, 1, 2, 3), np.array([1.0, 0.0, 0.0, 3.0]))
    slots, probabilities = selector.sample(500, _rng())
    assert set(slots.tolist()) == {0, 3}
    np.testing.assert_array_equal(probabilities, np.where(slots == 0, 0.25, 0.75))


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_all_zero_priorities_are_drawn_uniformly(exponent):
    selector = make_selector(Prioritized(exponent=exponent), max_size=8)
    selector.insert(_slots(1, 4, 6), np.zeros(3))
    slots, probabilities = selector.sample(100, _rng())
    assert set(slots.tolist()) == {1, 4, 6}
    np.testing.assert_array_equal(probabilities, 1 / 3)


def test_priorities_too_large_for_floats_do_not_overflow():
    selector = make_selector(Prioritized(exponent=3.0), max_size=4)
    selector.insert(np.arange(4), np.array([1e300, 1.0, 1e300, 1.0]))
    slots, probabilities = selector.sample(100, _rng())
    assert set(slots.tolist()) == {0, 2}
    np.testing.assert_allclose(probabilities, 0.5)


# --- Those without chance -------------------------------------------------------------


@pytest.fixture(params=IN_ORDER, ids=str)
def ordered(request):
    return make_selector(request.param, max_size=10)


def test_a_sample_is_the_first_each_time(ordered):
    ordered.insert(_slots(4, 2, 8), np.array([2.0, 1.0, 3.0]))
    slots, probabilities = ordered.sample(4, _rng())
    assert slots.tolist() == ordered.first(1).tolist() * 4
    assert probabilities.tolist() == [1.0] * 4


def test_there_are_no_more_than_are_held(ordered):
    assert ordered.first(3).tolist() == []
    ordered.insert(_slots(4, 2), np.ones(2))
    assert len(ordered.first(3)) == 2


@pytest.mark.parametrize(
    ("config", "expected"), [(Fifo(), [4, 8, 0, 2]), (Lifo(), [2, 0, 8, 4])], ids=str
)
def test_age_is_that_of_the_insertion_and_not_of_an_update(config, expected):
    selector = make_selector(config, max_size=10)
    selector.insert(_slots(4, 2, 8), np.ones(3))
    selector.delete(_slots(2))
    selector.insert(_slots(0, 2), np.ones(2))
    selector.update(_slots(4), np.array([100.0]))
    assert selector.first(4).tolist() == expected
    assert selector.first(2).tolist() == expected[:2]


@pytest.mark.parametrize(
    ("config", "expected"),
    [(MinHeap(), [2, 0, 7, 4, 8, 5]), (MaxHeap(), [5, 8, 2, 0, 7, 4])],
    ids=str,
)
def test_of_equal_priorities_the_one_longest_untouched_comes_first(config, expected):
    selector = make_selector(config, max_size=10)
    selector.insert(_slots(4, 2, 8, 5), np.array([1.0, 1.0, 2.0, 3.0]))
    selector.insert(_slots(0, 7), np.array([9.0, 1.0]))
    # To the same priority: it is touched all the same.
    selector.update(_slots(4), np.array([1.0]))
    selector.update(_slots(0), np.array([1.0]))
    selector.update(_slots(7, 4), np.array([1.0, 1.0]))
    assert selector.first(6).tolist() == expected
    selector.delete(_slots(expected[0], expected[3]))
    assert selector.first(6).tolist() == [expected[k] for k in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("config", "expected"), [(MinHeap(), [3, 2, 1]), (MaxHeap(), [1, 2, 3])], ids=str
)
def test_heaps_forget_what_is_no_longer_so(config, expected):
    """However often priorities change and slots are used again."""
    slots = _slots(1, 2, 3)
    selector = make_selector(config, max_size=10)
    selector.insert(slots, np.ones(3))
    tracemalloc.start()
    try:
        for n in range(1000):
            selector.update(slots, np.array([n + 2.0, n + 1.0, n]))
            selector.delete(slots[:1])
            selector.insert(slots[:1], np.array([n + 2.0]))
        num_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All of the entries there ever were would take some 500 kB.
    assert num_bytes < 20_000
    assert selector.first(5).tolist() == expected
