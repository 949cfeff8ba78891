"""The writer: everything arrives, once and in order."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.errors import NotReady
from acmelike.replay import Fifo, MinSize, Replay, SamplesPerInsert, Writer


class Inserts:
    """Stands in for replay: admits at most `limit` items a call and keeps notes."""

    def __init__(self, limit: int = 1000):
        self.limit, self.calls, self.rewards = limit, [], []

    def insert(self, table, items, priorities=None, num_env_steps=0):
        num = min(self.limit, len(items["reward"]))
        given = None if priorities is None else priorities[:num].tolist()
        self.calls.append((table, len(items["reward"]), given, num_env_steps))
        self.rewards += items["reward"][:num].tolist()
        return num


def test_the_rest_of_a_partial_insert_follows_without_steps(make_items):
    inserts = Inserts(limit=2)
    writer = Writer(inserts, "table")
    writer.write(make_items(0, 5), np.arange(5.0), num_env_steps=3)
    assert inserts.calls == [
        ("table", 5, [0.0, 1.0], 3),
        ("table", 3, [2.0, 3.0], 0),
        ("table", 1, [4.0], 0),
    ]
    assert inserts.rewards == [0, 1, 2, 3, 4]


def test_steps_without_items_are_counted_with_the_next_ones(make_items):
    inserts = Inserts()
    writer = Writer(inserts, "table")
    writer.write(None, num_env_steps=4)
    writer.write(None, num_env_steps=4)
    writer.write(make_items(0, 1), num_env_steps=1)
    writer.write(make_items(1, 2), num_env_steps=1)
    assert inserts.calls == [("table", 1, None, 9), ("table", 1, None, 1)]


def test_a_real_table_gets_what_was_written(make_config, make_items):
    replay = Replay([make_config(rate_limiter=MinSize(min_size=1))], seed=0)
    Writer(replay, "table").write(make_items(0, 3), num_env_steps=3)
    assert replay.num_env_steps() == 3
    assert replay.info("table").size == 3
    assert set(replay.sample("table", 50).data["reward"].tolist()) == {0, 1, 2}


def test_a_writer_waits_where_replay_does(make_config, make_items):
    replay = Replay([make_config()], seed=0)
    replay.stop_inserts("the run is over")
    with pytest.raises(NotReady, match="the run is over"):
        Writer(replay, "table").write(make_items(0, 3), num_env_steps=3)


def test_what_an_insert_refused_goes_first_the_next_time(make_config, make_items):
    limiter = SamplesPerInsert(ratio=1, min_size=1, error_buffer=1)
    replay = Replay(
        [make_config(sampler=Fifo(), replacement=False, rate_limiter=limiter)], seed=0
    )
    writer = Writer(replay, "table")
    with pytest.raises(NotReady, match="samples per insert"):
        writer.write(make_items(0, 3), num_env_steps=3)
    replay.sample("table", 1)
    replay.sample("table", 1)
    writer.write(make_items(3, 4), num_env_steps=1)
    assert replay.info("table").num_inserted == 4
    assert replay.num_env_steps() == 4
