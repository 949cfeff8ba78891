"""What every sampler promises, and what each promises beyond."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.replay import Fifo, Prioritized, Uniform
from acmelike.replay.selectors import make_selector

CONFIGS = [Uniform(), Prioritized(exponent=0.6), Prioritized(exponent=0.0), Fifo()]


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _slots(*slots: int) -> np.ndarray:
    return np.array(slots, np.int64)


@pytest.fixture(params=CONFIGS, ids=str)
def selector(request):
    return make_selector(request.param, max_size=10)


def test_samples_are_slots_and_probabilities(selector):
    selector.insert(_slots(2, 5, 7), np.array([1.0, 2.0, 3.0]))
    slots, probabilities = selector.sample(6, _rng())
    assert slots.shape == probabilities.shape == (6,)
    assert slots.dtype == np.int64
    assert probabilities.dtype == np.float64
    assert ((probabilities > 0) & (probabilities <= 1)).all()


def test_exactly_the_held_slots_are_drawn(selector):
    selector.insert(_slots(2, 5, 7, 0), np.ones(4))
    selector.delete(_slots(5, 2))
    selector.insert(_slots(9, 5), np.ones(2))
    selector.delete(_slots(0))
    assert set(selector.sample(200, _rng())[0].tolist()) == {5, 7, 9}


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
            assert set(selector.sample(150, rng)[0].tolist()) == held


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_priorities_are_refused_before_anything_changes(selector, bad):
    selector.insert(_slots(1, 2), np.ones(2))
    before = selector.sample(50, _rng())
    with pytest.raises(ValueError, match=f"priorities >= 0, got {bad}"):
        selector.insert(_slots(3, 4), np.array([1.0, bad]))
    with pytest.raises(ValueError, match=f"priorities >= 0, got {bad}"):
        selector.update(_slots(1, 2), np.array([5.0, bad]))
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(1,\)"):
        selector.update(_slots(1, 2), np.ones(1))
    np.testing.assert_array_equal(before, selector.sample(50, _rng()))


def test_the_same_stream_draws_the_same_slots(selector):
    selector.insert(np.arange(10), np.arange(10.0))
    np.testing.assert_array_equal(
        selector.sample(20, _rng()), selector.sample(20, _rng())
    )


def test_an_empty_selector_has_nothing_to_draw(selector):
    with pytest.raises(ValueError, match="at least 1 item"):
        selector.sample(1, _rng())
    selector.insert(_slots(3), np.zeros(1))
    selector.delete(_slots(3))
    with pytest.raises(ValueError, match="at least 1 item"):
        selector.sample(1, _rng())


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


def test_updates_change_the_distribution_and_the_last_wins():
    selector = make_selector(Prioritized(exponent=1.0), max_size=4)
    selector.insert(np.arange(4), np.ones(4))
    selector.update(_slots(0, 1, 2, 0, 3), np.array([9.0, 0.0, 0.0, 1.0, 3.0]))
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


def test_fifo_takes_the_oldest_in_order_and_wraps():
    selector = make_selector(Fifo(), max_size=10)
    selector.insert(_slots(4, 2, 8), np.ones(3))
    selector.delete(_slots(2))
    selector.insert(_slots(0, 2), np.ones(2))
    selector.update(_slots(4), np.array([100.0]))
    slots, probabilities = selector.sample(3, _rng())
    assert slots.tolist() == [4, 8, 0]
    assert probabilities.tolist() == [1.0, 1.0, 1.0]
    assert selector.sample(6, _rng())[0].tolist() == [4, 8, 0, 2, 4, 8]
