"""The replay service: which calls wait or raise, and the reasons that they give."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike import Node, Program, launch
from acmelike.core import start
from acmelike.errors import ConfigError, NotReady
from acmelike.replay import Fifo, MinSize, Queue, Replay, SamplesPerInsert, Uniform


@pytest.fixture
def replay(make_config):
    # In "narrow", inserts - samples stays within 2 +- 3; in "wide", all goes.
    narrow = SamplesPerInsert(ratio=1, min_size=2, error_buffer=3)
    return Replay(
        [
            make_config(name="narrow", rate_limiter=narrow),
            make_config(
                name="wide",
                rate_limiter=MinSize(min_size=3),
                sampler=Fifo(),
                replacement=False,
            ),
        ],
        seed=0,
    )


def test_tables_that_this_machine_has_too_little_memory_for_are_warned_of(
    make_config, caplog, monkeypatch
):
    Replay([make_config(max_size=1_000)], seed=0)
    assert not caplog.text
    monkeypatch.setattr("acmelike.replay.service.replay._MEMORY_SHARE", 1e-9)
    Replay([make_config(name="vast", max_size=1_000)], seed=0)
    (record,) = caplog.records
    assert record.getMessage().startswith("replay takes about ")
    assert "full (vast: 1,000 items), and this machine has" in record.getMessage()


def test_tables_that_this_machine_can_never_fill_are_refused_unless_told(make_config):
    vast = make_config(name="vast", max_size=10**12)
    words = r"GB when its tables are full \(vast: 1,000,000,000,000 items\), and this"
    with pytest.raises(ConfigError, match=words) as caught:
        Replay([vast], seed=0)
    assert "starts all the same with --replay-may-exceed-memory" in str(caught.value)


def test_who_is_told_so_starts_with_more_than_all_memory(
    make_config, caplog, monkeypatch
):
    monkeypatch.setattr("acmelike.replay.service.replay.memory_limit", lambda: 1_000)
    large = make_config(max_size=1_000)
    with pytest.raises(ConfigError, match="this machine has 1e-06 GB"):
        Replay([large], seed=0)
    assert not caplog.text
    Replay([large], seed=0, may_exceed_memory=True)
    assert "replay takes about " in caplog.text


def test_inserts_are_admitted_in_part_then_wait(replay, make_items):
    assert replay.insert("narrow", make_items(0, 9)) == 5
    reason = (
        r"Replay\.insert: samples per insert: 5 items inserted and 1 waiting, "
        r"of at most 5 allowed after 0 sampled"
    )
    with pytest.raises(NotReady, match=reason):
        replay.insert("narrow", make_items(5, 9))
    assert replay.insert("wide", make_items(0, 1)) == 1
    replay.sample("narrow", 2)
    assert replay.insert("narrow", make_items(5, 9)) == 2
    assert replay.info("narrow").num_inserted == 7


def test_samples_are_all_or_nothing(replay, make_items):
    with pytest.raises(NotReady, match=r"Replay\.sample: minimum size: 0 items of 2"):
        replay.sample("narrow", 1)
    replay.insert("narrow", make_items(0, 3))
    with pytest.raises(NotReady, match="0 items sampled and 5 waiting, of at most 4"):
        replay.sample("narrow", 5)
    assert replay.info("narrow").num_sampled == 0
    assert replay.sample("narrow", 4).keys.shape == (4,)
    assert replay.info("narrow").num_sampled == 4


def test_environment_steps_are_counted_once_per_admitted_call(replay, make_items):
    replay.insert("narrow", make_items(0, 9), None, 16)
    assert replay.num_env_steps() == 16
    with pytest.raises(NotReady):
        replay.insert("narrow", make_items(5, 9), None, 16)
    assert replay.num_env_steps() == 16
    replay.insert("wide", make_items(0, 1), num_env_steps=4)
    assert replay.num_env_steps() == 20
    assert replay.past_env_steps(20) == 20
    assert replay.past_env_steps(3) == 20
    with pytest.raises(
        NotReady, match=r"Replay\.past_env_steps: environment steps 20 of 21"
    ):
        replay.past_env_steps(21)


@pytest.mark.parametrize(
    ("priorities", "num_env_steps", "dtype", "message"),
    [
        (np.array([1.0, -1.0]), 4, np.float32, "got -1.0"),
        (np.ones(3), 4, np.float32, r"shape \(2,\), got \(3,\)"),
        (None, 4, np.float64, "float32"),
        (None, -1, np.float32, "num_env_steps >= 0, got -1"),
    ],
)
def test_a_bad_insert_leaves_no_trace(
    replay, make_items, priorities, num_env_steps, dtype, message
):
    items = make_items(0, 2)
    items["reward"] = items["reward"].astype(dtype)
    before = replay.info("wide")
    with pytest.raises(ValueError, match=message):
        replay.insert("wide", items, priorities, num_env_steps)
    assert replay.info("wide") == before
    assert replay.num_env_steps() == 0


def test_an_unknown_table_raises_with_the_known_names(replay, make_items):
    for call in (
        lambda: replay.insert("tabel", make_items(0, 1)),
        lambda: replay.sample("tabel", 1),
        lambda: replay.update_priorities("tabel", np.array([0]), np.ones(1)),
        lambda: replay.info("tabel"),
    ):
        with pytest.raises(ValueError, match=r"\['narrow', 'wide'\], got 'tabel'"):
            call()


def test_a_sample_of_nothing_raises_instead_of_waiting(replay):
    with pytest.raises(ValueError, match="at least 1 item, got 0"):
        replay.sample("narrow", 0)


def test_a_sample_of_more_than_there_can_be_raises_instead_of_waiting(replay):
    with pytest.raises(ValueError, match="'wide': a sample of 9 items is more than"):
        replay.sample("wide", 9)
    with pytest.raises(NotReady):
        replay.sample("wide", 8)


def test_another_limiter_wakes_those_whom_it_lets_proceed(make_config, make_items):
    program = Program("waiting")
    node = Node(Replay, [make_config(rate_limiter=Queue(size=2))], seed=0)
    handle = program.add_node(node, label="replay")
    with launch(program, "threads") as run:
        client = run.client(handle)
        client.insert("table", make_items(0, 2))
        insert = start(client.insert, "table", make_items(2, 3))
        sample = start(client.sample, "table", 4)
        assert (insert.done(), sample.done()) == (False, False)
        client.set_rate_limiter("table", MinSize(min_size=1))
        assert insert.result() == 1
        assert len(sample.result().keys) == 4


def test_stopped_inserts_wait_for_ever_and_samples_go_on(replay, make_items):
    replay.insert("wide", make_items(0, 4))
    replay.stop_inserts("the run ends")
    for _ in range(2):
        with pytest.raises(NotReady, match=r"Replay\.insert: the run ends"):
            replay.insert("wide", make_items(4, 5), None, 4)
        assert replay.sample("wide", 2).data["reward"].tolist() == [0, 1]
    assert replay.info("wide").num_inserted == 4
    assert replay.num_env_steps() == 0


def test_priorities_reach_their_table(replay, make_items):
    replay.insert("wide", make_items(0, 4))
    assert replay.update_priorities("wide", np.array([1, 2, 50]), np.ones(3)) == 2
    assert replay.update_priorities("narrow", np.array([1, 2]), np.ones(2)) == 0


def test_a_dump_shows_what_a_table_holds_and_changes_nothing(make_config, make_items):
    config = make_config(
        sampler=Fifo(), max_times_sampled=3, rate_limiter=Queue(size=4), max_size=4
    )
    replay = Replay([config], seed=0)
    replay.insert("table", make_items(0, 4), np.array([4.0, 1.0, 2.0, 3.0]))
    keys = replay.sample("table", 2).keys
    replay.delete("table", keys[:0])
    before = replay.info("table")
    held = replay.dump("table")
    assert held["data"]["reward"].tolist() == [0, 1, 2, 3]
    assert held["priorities"] == [4, 1, 2, 3]
    assert held["times_sampled"] == [2, 0, 0, 0]
    assert held["sampler_order"] == held["remover_order"] == held["keys"]
    assert held["num_remaining"] == 4 * 3 - 2
    assert held["max_priority"] == 4
    assert held["counters"] == [4, 2, 0]
    assert held["limits"]["limiter"] == "Queue"
    assert held["limits"]["max_size"] == 4
    again = replay.dump("table")
    for name in held.keys() - {"data"}:
        assert held[name] == again[name]
    assert replay.info("table") == before
    with pytest.raises(ValueError, match=r"expected a table of \['table'\]"):
        replay.dump("tabel")


def test_a_dump_of_a_table_without_order_or_quota_says_so(make_config):
    held = Replay([make_config(remover=Uniform())], seed=0).dump("table")
    assert (held["sampler_order"], held["remover_order"]) == (None, None)
    assert held["num_remaining"] is None


@pytest.mark.parametrize("name", ["max_writers", "max_cursors", "part_bytes"])
def test_numbers_of_a_service_are_at_least_one(make_config, name):
    with pytest.raises(ConfigError, match=f"replay: {name} must be at least 1: 0"):
        Replay([make_config()], seed=0, **{name: 0})


def test_tables_need_different_names(make_config):
    with pytest.raises(ConfigError, match="got \\[\\]"):
        Replay([], seed=0)
    with pytest.raises(ConfigError, match="got \\['table', 'table'\\]"):
        Replay([make_config(), make_config()], seed=0)


def test_the_tables_of_a_service_have_streams_of_their_own(make_config, make_items):
    def keys(seed: int) -> list[list[int]]:
        tables = [make_config(name="a"), make_config(name="b")]
        replay = Replay(tables, seed=seed)
        for name in "ab":
            replay.insert(name, make_items(0, 8))
        return [replay.sample(name, 20).keys.tolist() for name in "ab"]

    assert keys(0) == keys(0)
    assert keys(0) != keys(1)
    assert keys(0)[0] != keys(0)[1]
