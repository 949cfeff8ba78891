"""Methods that handle several calls at once, outside a run, and what they refuse."""

from __future__ import annotations

import collections
import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from acmelike import batched, concurrent, start, when
from acmelike.core.stacking import difference, split, stack, take_apart
from acmelike.errors import ContractError


class Net:
    @batched(max_size=4, pad=True)
    def act(self, x, /, y=1, *more, z=None):
        """Acts."""
        assert len(x) == 4
        return {"sum": x + y + sum(more), "z": z}

    @batched(max_size=4)
    def shorten(self, x):
        return x[1:]


def test_a_call_outside_a_run_is_a_batch_of_one():
    net = Net()
    assert net.act(1) == {"sum": 2, "z": None}
    assert net.act(1, 2, 3, 4, z=5) == {"sum": 10, "z": 5}
    assert net.act(np.ones(2), y=np.ones(2))["sum"].tolist() == [2, 2]
    assert start(net.act, 1).result() == {"sum": 2, "z": None}
    assert net.act.__doc__ == "Acts."


def test_what_cannot_be_stacked_or_split_is_refused_outside_a_run_too():
    with pytest.raises(ContractError, match=r"^x is a str, which is no array$"):
        Net().act("text")
    with pytest.raises(TypeError, match="missing a required"):
        Net().act()
    with pytest.raises(
        ContractError, match=r"Net\.shorten got a batch of 1 .*: it has"
    ):
        Net().shorten(1)


@pytest.mark.parametrize("other", [when(lambda self: None), concurrent])
def test_a_batched_method_is_neither_guarded_nor_concurrent(other):
    both = batched(max_size=2)
    for first, second in [(other, both), (both, other)]:
        with pytest.raises(TypeError, match="read cannot be both"):

            class _Both:
                @second
                @first
                def read(self):
                    raise AssertionError


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_size": 0}, "max_size must be an int of at least 1: 0"),
        ({"max_size": 2.5}, "max_size must be an int of at least 1: 2.5"),
        ({"max_size": 2, "timeout": -1.0}, "timeout must be at least 0: -1.0"),
        ({"max_size": 2, "timeout": float("nan")}, "timeout must be at least 0: nan"),
    ],
)
def test_sizes_and_timeouts_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        batched(**settings)(lambda self: None)


# --- Nests of arrays ---------------------------------------------------------------


class Pair(NamedTuple):
    left: object
    right: object


@dataclasses.dataclass(frozen=True)
class Observation:
    image: object
    lives: int = dataclasses.field(init=False, default=3)


NESTS = [
    1,
    2.5,
    True,
    np.float32(3),
    np.zeros((2, 3), np.uint8),
    [1, (2.0, {"b": np.ones(2), "a": None})],
    Pair(np.ones(2), [0]),
    collections.OrderedDict(b=1, a=2),
    Observation(np.ones(2)),
    {"nested": Observation(Observation(1))},
    (),
    None,
    np.array("text"),
]


@pytest.mark.parametrize("nest", NESTS, ids=lambda nest: type(nest).__name__)
def test_nests_are_stacked_and_split_again(nest):
    parts = [take_apart(nest) for _ in range(2)]
    stacked = stack(parts, 3)
    assert all(array.shape[0] == 3 for array in take_apart(stacked).arrays)
    rows = split(stacked, 3, 2)
    assert len(rows) == 2
    for row in map(take_apart, rows):
        assert row.form == parts[0].form
        for mine, first in zip(row.arrays, parts[0].arrays, strict=True):
            assert np.array_equal(mine, first)


def test_rows_keep_the_order_of_the_nests():
    stacked = stack([take_apart({"x": x}) for x in (1, 2, 3)], 5)
    assert stacked["x"].tolist() == [1, 2, 3, 3, 3]
    assert split(stacked, 5, 3) == [{"x": 1}, {"x": 2}, {"x": 3}]


@pytest.mark.parametrize("leaf", ["text", b"text", object(), {1, 2}])
def test_a_leaf_that_is_no_array_is_named_by_its_path(leaf):
    words = rf"^x\[0\]\['y'\] is a {type(leaf).__name__}, which is no array"
    with pytest.raises(ContractError, match=words):
        take_apart({"x": [{"y": leaf}]})


@pytest.mark.parametrize(
    ("one", "usual", "words"),
    [
        ({"x": 1}, {"x": 1.0}, "its x is int64[], and that of others float64[]"),
        ({"x": [1]}, {"x": [1, 2]}, "it has no x[1]"),
        ({"x": 1, "y": 2}, {"x": 1}, "it has y, which others do not have"),
        ([1], (1,), "it is PyTreeSpec([*]), and others are PyTreeSpec((*,))"),
    ],
)
def test_a_difference_is_said_in_a_few_words(one, usual, words):
    found = difference(take_apart(one).form, take_apart(usual).form)
    assert found.startswith(words)
