"""When a learning curve was at its target."""

import pytest

from benchmarks.curves import reached


@pytest.mark.parametrize(
    ("means", "once", "twice"),
    [
        ([20.0, 300.0, 474.9], None, None),
        ([475.0, 20.0, 500.0, 20.0], 1_000, None),  # Never two in a row.
        ([20.0, 480.0, 475.0, 9.0], 2_000, 3_000),
        ([500.0, 20.0, 475.0, 475.0], 1_000, 4_000),
        ([], None, None),
    ],
)
def test_the_last_of_so_many_judgements_in_a_row_counts(means, once, twice):
    steps = [1_000 * (number + 1) for number in range(len(means))]
    assert reached(steps, means, 475, in_a_row=1) == once
    assert reached(steps, means, 475) == twice
