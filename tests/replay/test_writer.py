"""The writer: everything arrives, once and in order."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.errors import ConfigError, NotReady
from acmelike.replay import MinSize, Prioritized, Replay, Writer


class Inserts:
    """Stands in for replay: admits at most `limit` items a call and keeps notes."""

    def __init__(self, limit: int = 1000):
        self.limit, self.calls, self.rewards = limit, [], []
        self.is_open = True

    def insert(self, table, items, priorities=None, num_env_steps=0):
        if not self.is_open:
            raise NotReady("closed")
        num = min(self.limit, len(items["reward"]))
        given = None if priorities is None else priorities[:num].tolist()
        self.calls.append((table, len(items["reward"]), given, num_env_steps))
        self.rewards += items["reward"][:num].tolist()
        return num


def test_items_are_sent_when_enough_are_held(make_items):
    inserts = Inserts()
    writer = Writer(inserts, "table", num_items_per_insert=4)
    writer.append(make_items(0, 1), None, 1)
    writer.append(make_items(1, 3), None, 2)
    assert inserts.calls == []
    writer.append(make_items(3, 5), None, 4)
    assert inserts.calls == [("table", 5, None, 7)]
    assert inserts.rewards == [0, 1, 2, 3, 4]
    writer.append(make_items(5, 6), None, 1)
    writer.flush()
    writer.flush()
    assert inserts.calls[1:] == [("table", 1, None, 1)]
    assert inserts.rewards == [0, 1, 2, 3, 4, 5]


def test_the_rest_of_a_partial_insert_follows_without_steps(make_items):
    inserts = Inserts(limit=2)
    writer = Writer(inserts, "table")
    writer.append(make_items(0, 5), np.arange(5.0), 3)
    assert inserts.calls == [
        ("table", 5, [0.0, 1.0], 3),
        ("table", 3, [2.0, 3.0], 0),
        ("table", 1, [4.0], 0),
    ]
    assert inserts.rewards == [0, 1, 2, 3, 4]


def test_steps_without_items_ride_on_the_next_insert(make_items):
    inserts = Inserts()
    writer = Writer(inserts, "table")
    writer.append(None, None, 2)
    writer.append(make_items(0, 0), np.ones(0), 2)
    writer.flush()
    assert inserts.calls == []
    writer.append(make_items(0, 1), None, 2)
    writer.append(make_items(1, 2), None, 2)
    assert inserts.calls == [("table", 1, None, 6), ("table", 1, None, 2)]


def test_a_caller_may_reuse_its_buffers(make_items):
    inserts = Inserts()
    writer = Writer(inserts, "table", num_items_per_insert=2)
    items, priorities = make_items(0, 1), np.array([5.0])
    writer.append(items, priorities)
    items["reward"][...] = 9
    priorities[...] = 9
    writer.append(make_items(1, 2), np.array([6.0]))
    assert inserts.rewards == [0, 1]
    assert inserts.calls == [("table", 2, [5.0, 6.0], 0)]


def test_items_that_could_not_be_sent_are_kept(make_items):
    inserts = Inserts()
    writer = Writer(inserts, "table", num_items_per_insert=2)
    writer.append(make_items(0, 1), None, 1)
    inserts.is_open = False
    with pytest.raises(NotReady):
        writer.append(make_items(1, 3), None, 1)
    inserts.is_open = True
    writer.append(make_items(3, 4), None, 1)
    assert inserts.rewards == [0, 1, 2, 3]
    assert inserts.calls == [("table", 4, None, 3)]


def test_priorities_are_for_all_items_or_for_none(make_items):
    writer = Writer(Inserts(), "table", num_items_per_insert=4)
    writer.append(make_items(0, 1), np.ones(1))
    with pytest.raises(ValueError, match="for all items of an insert or for none"):
        writer.append(make_items(1, 2))


def test_it_needs_a_positive_number_of_items():
    with pytest.raises(ConfigError, match="num_items_per_insert >= 1, got 0"):
        Writer(Inserts(), "table", num_items_per_insert=0)


def test_it_writes_to_a_service(make_config, make_items):
    config = make_config(sampler=Prioritized(), rate_limiter=MinSize(min_size=1))
    replay = Replay([config], seed=0)
    writer = Writer(replay, "table", num_items_per_insert=3)
    for number in range(7):
        writer.append(make_items(number, number + 1), np.ones(1), 1)
    assert replay.info("table").num_inserted == 6
    assert replay.num_env_steps() == 6
    writer.flush()
    assert set(replay.sample("table", 100).data["reward"].tolist()) == set(range(7))
    assert replay.num_env_steps() == 7
