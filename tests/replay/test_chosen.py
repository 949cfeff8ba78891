"""RowSubset rows, and their places, beside what NumPy says of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.replay.storage.snapshot import RowSubset


@pytest.mark.parametrize("num_rows", [0, 1, 255, 256, 257, 5000])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_and_places(num_rows, share):
    is_chosen = np.random.default_rng(0).random(num_rows) < share
    chosen = RowSubset(is_chosen)
    rows = np.flatnonzero(is_chosen)
    assert chosen.num_rows == len(rows)
    assert chosen.rows().tolist() == rows.tolist()
    assert chosen.places(rows).tolist() == list(range(len(rows)))
    inside = rows[(rows >= 100) & (rows < 300)]
    assert chosen.rows(100, 300).tolist() == inside.tolist()
    every = np.arange(num_rows + 300)
    assert np.flatnonzero(chosen.has(every)).tolist() == rows.tolist()


def test_it_stays_as_it_was():
    is_chosen = np.ones(3, bool)
    chosen = RowSubset(is_chosen)
    is_chosen[:] = False
    assert chosen.rows().tolist() == [0, 1, 2]
