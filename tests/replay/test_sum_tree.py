"""The sum tree, compared with a plain array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acmelike.replay.selectors.sum_tree import SumTree

# Whole numbers: their sums are exact, so the two must agree to the last bit.
_updates = st.integers(1, 40).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(
            st.lists(
                st.tuples(st.integers(0, size - 1), st.integers(0, 5)), max_size=12
            ),
            min_size=1,
            max_size=4,
        ),
    )
)


@pytest.mark.long
@settings(max_examples=100, deadline=None, derandomize=True)
@given(_updates)
def test_it_behaves_like_an_array_of_weights(case):
    size, updates = case
    tree, weights = SumTree(size), np.zeros(size)
    for update in updates:
        indices = np.array([index for index, _ in update], np.int64)
        values = np.array([value for _, value in update], np.float64)
        tree.set(indices, values)
        for index, value in update:
            weights[index] = value
        assert tree.total == weights.sum()
        np.testing.assert_array_equal(tree.get(np.arange(size)), weights)
        targets = np.arange(0, weights.sum(), 0.5)
        expected = np.searchsorted(np.cumsum(weights), targets, side="right")
        np.testing.assert_array_equal(tree.find(targets), expected)


@pytest.mark.parametrize("num_changed", [1, 700, 20_000])
def test_a_large_tree_behaves_like_an_array_of_weights_too(num_changed):
    """Some of its levels are summed as a whole, and some in part."""
    rng, size = np.random.default_rng(0), 200_000
    tree, weights = SumTree(size), np.zeros(size)
    for _ in range(3):
        indices = rng.integers(size, size=num_changed)
        tree.set(indices, values := rng.integers(9, size=num_changed).astype(float))
        weights[indices] = values
        assert tree.total == weights.sum()
    targets = np.linspace(0, tree.total, 1_000, endpoint=False)
    expected = np.searchsorted(np.cumsum(weights), targets, side="right")
    np.testing.assert_array_equal(tree.find(targets), expected)


def test_rounding_errors_do_not_add_up():
    rng = np.random.default_rng(0)
    tree = SumTree(100)
    for _ in range(200):
        tree.set(rng.integers(100, size=50), 10.0 ** rng.integers(-8, 9, size=50))
    tree.set(np.arange(100), np.full(100, 0.25))
    assert tree.total == 25.0


def test_a_target_lost_to_rounding_still_finds_a_positive_weight():
    tree = SumTree(4)
    tree.set(np.arange(4), np.array([0.3, 0.0, 0.7, 0.0]))
    # 1 - 2^-53, less 0.3, rounds to 0.7: the end of the right half.
    assert tree.find(np.array([np.nextafter(1.0, 0.0)])).tolist() == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65])
def test_every_size_reaches_its_last_index(size):
    tree = SumTree(size)
    tree.set(np.array([size - 1]), np.array([2.0]))
    assert tree.total == 2.0
    assert tree.find(np.array([0.0, 1.9])).tolist() == [size - 1] * 2


def test_targets_are_left_as_they_were():
    tree = SumTree(4)
    tree.set(np.arange(4), np.ones(4))
    targets = np.array([3.5, 0.5])
    tree.find(targets)
    assert targets.tolist() == [3.5, 0.5]
