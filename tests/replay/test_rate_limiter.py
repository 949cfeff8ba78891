"""Limiter boundaries, computed by hand."""

from __future__ import annotations

import pytest

from acmelike.replay import MinSize, SamplesPerInsert
from acmelike.replay.limiters import RateLimiter


def test_min_size_counts_what_is_held():
    limiter = RateLimiter(MinSize(min_size=3))
    limiter.count_inserts(2)
    assert limiter.blocks_sample(1) == "minimum size: 2 items of 3"
    limiter.count_inserts(1)
    assert limiter.blocks_sample(10**6) is None
    limiter.count_deletes(1)
    assert limiter.blocks_sample(1) == "minimum size: 2 items of 3"
    assert limiter.blocks_insert(10**9) is None
    assert limiter.num_admissible(10**9) == 10**9


def test_inserts_wait_when_samples_fall_behind():
    # 2 * inserts - samples must stay within 2 * 4 +- 6, that is in [2, 14].
    limiter = RateLimiter(SamplesPerInsert(ratio=2, min_size=4, error_buffer=6))
    assert limiter.num_admissible(100) == 7
    assert limiter.blocks_insert(7) is None
    assert limiter.blocks_insert(8) is not None
    limiter.count_inserts(7)
    assert limiter.num_admissible(1) == 0
    assert limiter.blocks_insert(1) == (
        "samples per insert: 7 items inserted and 1 waiting, of at most 7 allowed "
        "after 0 sampled"
    )
    limiter.count_samples(1)
    assert limiter.num_admissible(100) == 0
    limiter.count_samples(1)
    assert limiter.num_admissible(100) == 1


def test_samples_wait_when_they_run_ahead():
    # As above: after 4 inserts, 8 - samples may fall to 2.
    limiter = RateLimiter(SamplesPerInsert(ratio=2, min_size=4, error_buffer=6))
    limiter.count_inserts(3)
    assert limiter.blocks_sample(1) == "minimum size: 3 items of 4"
    limiter.count_inserts(1)
    assert limiter.blocks_sample(6) is None
    assert limiter.blocks_sample(7) is not None
    limiter.count_samples(5)
    assert limiter.blocks_sample(1) is None
    assert limiter.blocks_sample(2) == (
        "samples per insert: 5 items sampled and 2 waiting, of at most 6 allowed "
        "after 4 inserted"
    )
    limiter.count_inserts(1)
    assert limiter.blocks_sample(3) is None
    assert limiter.blocks_sample(4) is not None


def test_deletions_allow_inserts_up_to_the_minimum_size():
    # At its limit of 7, an insert may still make up for what is missing from 4.
    limiter = RateLimiter(SamplesPerInsert(ratio=2, min_size=4, error_buffer=6))
    limiter.count_inserts(7)
    limiter.count_deletes(3)
    assert limiter.num_admissible(100) == 0
    limiter.count_deletes(2)
    assert limiter.num_admissible(100) == 2
    assert limiter.num_admissible(1) == 1
    assert limiter.blocks_insert(2) is None
    assert limiter.blocks_insert(3) is not None


def test_deletions_do_not_change_what_was_inserted():
    limiter = RateLimiter(SamplesPerInsert(ratio=2, min_size=4, error_buffer=6))
    limiter.count_inserts(7)
    limiter.count_deletes(3)
    assert limiter.blocks_sample(12) is None
    assert limiter.blocks_sample(13) is not None


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_admissible_items_are_those_that_pass_one_by_one(ratio):
    limiter = RateLimiter(SamplesPerInsert(ratio=ratio, min_size=3, error_buffer=5.5))
    for step in range(40):
        one_by_one = RateLimiter(
            SamplesPerInsert(ratio=ratio, min_size=3, error_buffer=5.5)
        )
        one_by_one.restore(*limiter.counters())
        count = 0
        while count < 50 and one_by_one.blocks_insert(1) is None:
            one_by_one.count_inserts(1)
            count += 1
        assert limiter.num_admissible(50) == count
        if limiter.blocks_sample(2) is None and step % 3:
            limiter.count_samples(2)
        else:
            limiter.count_inserts(min(1, count))


def test_counting_stays_exact_where_floats_would_not():
    limiter = RateLimiter(SamplesPerInsert(ratio=0.1, min_size=10, error_buffer=1))
    limiter.count_inserts(10**17 + 10)
    limiter.count_samples(10**16)
    assert limiter.blocks_sample(1) is None
    assert limiter.blocks_sample(2) is not None
    assert limiter.num_admissible(100) == 10
