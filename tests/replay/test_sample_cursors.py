"""Samples that iterators drew ahead of need: shown, returned, and forgotten."""

from __future__ import annotations

import pytest

from acmelike.errors import NotReady
from acmelike.replay import Fifo, Replay, TableConfig
from acmelike.replay.service.sample_cursors import SampleCursor
from tests.replay.conftest import SIGNATURE


@pytest.fixture(params=[TableConfig.queue, TableConfig.stack])
def queue(request):
    """Replay with a queue or a stack of two items."""
    return Replay([request.param("table", SIGNATURE, max_size=2)], seed=0)


def goes_round(replay, make_items):
    """Inserts two items, a third waits, and samples two, again and again."""
    for _ in range(5):
        assert replay.insert("table", make_items(0, 3)) == 2
        with pytest.raises(NotReady):
            replay.insert("table", make_items(0, 1))
        assert len(replay.sample("table", 2).keys) == 2


def counts(replay):
    info = replay.info("table")
    return info.num_inserted, info.num_sampled, info.num_deleted, info.num_prefetched


def test_what_went_with_its_sample_stays_counted(queue, make_items):
    """Otherwise inserts would wait for samples of items that are gone."""
    queue.insert("table", make_items(0, 2))
    cursor = SampleCursor(1, num_used=0)
    queue.sample("table", 2, cursor)
    assert counts(queue) == (2, 2, 2, 2)
    queue.close_cursor(cursor)
    assert counts(queue) == (2, 2, 2, 0)
    goes_round(queue, make_items)


def test_what_was_drawn_before_a_reset_is_not_given_back(queue, make_items):
    queue.insert("table", make_items(0, 2))
    cursor = SampleCursor(1, num_used=0)
    queue.sample("table", 2, cursor)
    queue.reset("table")
    assert counts(queue) == (0, 0, 0, 0)
    queue.insert("table", make_items(0, 1))
    queue.sample("table", 1, cursor)
    assert counts(queue) == (1, 1, 1, 1)
    queue.close_cursor(cursor)
    assert counts(queue) == (1, 1, 1, 0)
    goes_round(queue, make_items)


def test_a_reset_forgets_what_was_drawn_of_its_table_only(make_config, make_items):
    replay = Replay([make_config(name="table"), make_config(name="other")], seed=0)
    cursor = SampleCursor(1, num_used=0)
    for name, num_items in (("table", 1), ("other", 2), ("table", 4), ("other", 8)):
        replay.insert(name, make_items(0, 1))
        replay.sample(name, num_items, cursor)
    replay.reset("table")
    assert replay.info("other").num_prefetched == 10
    # The first two are used: one of either table.
    replay.sample("other", 16, SampleCursor(1, num_used=2))
    assert replay.info("other").num_prefetched == 24
    replay.close_cursor(SampleCursor(1, num_used=4))
    assert replay.info("other").num_sampled == 10


def test_what_is_given_back_may_be_sampled_again(make_config, make_items):
    replay = Replay([make_config(sampler=Fifo(), max_times_sampled=2)], seed=0)
    replay.insert("table", make_items(0, 2))
    cursor = SampleCursor(1, num_used=0)
    replay.sample("table", 1, cursor)
    replay.close_cursor(cursor)
    again = replay.sample("table", 4)
    assert again.data["reward"].tolist() == [0, 0, 1, 1]
    assert again.times_sampled.tolist() == [2, 2, 2, 2]


def test_of_a_sample_only_the_items_still_held_are_given_back(make_config, make_items):
    replay = Replay([make_config(sampler=Fifo(), replacement=False)], seed=0)
    replay.insert("table", make_items(0, 3))
    cursor = SampleCursor(1, num_used=0)
    keys = replay.sample("table", 3, cursor).keys
    replay.delete("table", keys[:1])
    replay.close_cursor(cursor)
    assert counts(replay) == (3, 1, 1, 0)
    assert replay.sample("table", 2).times_sampled.tolist() == [1, 1]


def test_a_cursor_may_be_older_than_replay(make_config, make_items):
    """Replay was restarted, and its iterators continue."""
    replay = Replay([make_config()], seed=0)
    replay.insert("table", make_items(0, 2))
    replay.sample("table", 1, SampleCursor(1, num_used=5))
    assert replay.info("table").num_prefetched == 1
    # It has used that, and two that it had from before.
    replay.sample("table", 2, SampleCursor(1, num_used=8))
    assert replay.info("table").num_prefetched == 2
    replay.close_cursor(SampleCursor(1, num_used=8))
    replay.close_cursor(SampleCursor(2, num_used=3))
    assert counts(replay) == (2, 1, 0, 0)


def test_a_late_word_of_a_cursor_unsays_nothing(make_config, make_items):
    replay = Replay([make_config()], seed=0)
    replay.insert("table", make_items(0, 2))
    for num_used in (0, 0, 2, 1, 2):
        replay.sample("table", 1, SampleCursor(1, num_used))
    assert replay.info("table").num_prefetched == 3


def test_of_very_many_cursors_the_silent_ones_are_forgotten(make_config, make_items):
    """Their samples count as used."""
    replay = Replay([make_config()], seed=0, max_cursors=2)
    replay.insert("table", make_items(0, 8))
    for number, num_items in ((1, 1), (2, 2), (1, 4), (3, 8)):
        replay.sample("table", num_items, SampleCursor(number, num_used=0))
    assert replay.info("table").num_prefetched == 1 + 4 + 8
    replay.close_cursor(SampleCursor(2, num_used=0))
    assert replay.info("table").num_sampled == 15
