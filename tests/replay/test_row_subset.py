"""A subset of rows and their positions, compared with NumPy on all rows."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.replay.storage.snapshot import RowSubset


@pytest.mark.parametrize("num_rows", [0, 1, 255, 256, 257, 5000])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_and_places(num_rows, share):
    mask = np.random.default_rng(0).random(num_rows) < share
    subset = RowSubset(mask)
    rows = np.flatnonzero(mask)
    assert subset.num_rows == len(rows)
    assert subset.rows().tolist() == rows.tolist()
    assert subset.positions(rows).tolist() == list(range(len(rows)))
    inside = rows[(rows >= 100) & (rows < 300)]
    assert subset.rows(100, 300).tolist() == inside.tolist()
    every = np.arange(num_rows + 300)
    assert np.flatnonzero(subset.contains(every)).tolist() == rows.tolist()


def test_it_stays_as_it_was():
    mask = np.ones(3, bool)
    subset = RowSubset(mask)
    mask[:] = False
    assert subset.rows().tolist() == [0, 1, 2]
