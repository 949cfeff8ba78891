"""Behaviour of both engines, our own and Reverb; where Reverb deviates, and cannot.

Reverb's side runs where it is installed: `make test-reverb`.
"""

from __future__ import annotations

import importlib
import threading
import warnings

import numpy as np
import pytest

from acmelike import Node, Program, launch
from acmelike.core import deadline, start
from acmelike.errors import ConfigError, NotReady, RpcClosed, RpcTimeout
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Queue,
    Raw,
    Replay,
    SamplesPerInsert,
    TableConfig,
    TrajectoryWriter,
    Uniform,
    Writer,
)
from acmelike.replay.service.sample_cursors import SampleCursor
from acmelike.replay.tables.engine import make_tables
from tests.replay.engines import HAS_REVERB, NEEDS_REVERB, deviates
from tests.replay.test_writer import frames, windows, windows_config


@pytest.fixture
def make_replay(engine, make_config):
    return lambda **changes: Replay([make_config(**changes)], seed=0, engine=engine)


@pytest.fixture
def reverb():
    """The package itself, for a test that needs it: imported as the engine does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("reverb")


def rewards(replay, num_items=1, table="table"):
    return replay.sample(table, num_items).data["reward"].astype(int).tolist()


def drawn(replay, num_samples=60):
    return {reward for _ in range(num_samples) for reward in rewards(replay)}


# --- Items and samples ----------------------------------------------------------------


def test_items_come_back_whole(make_replay, make_items):
    replay = make_replay(sampler=Uniform())
    assert replay.insert("table", make_items(0, 5), np.arange(1.0, 6.0)) == 5
    sample = replay.sample("table", 40)
    numbers = sample.data["reward"]
    assert set(numbers.tolist()) <= set(range(5))
    assert sample.data["pixels"].shape == (40, 2, 3)
    assert sample.data["pixels"].dtype == np.uint8
    np.testing.assert_array_equal(sample.data["pixels"][:, 1, 2], numbers)
    np.testing.assert_allclose(sample.probabilities, 1 / 5)
    np.testing.assert_allclose(sample.priorities, numbers + 1)
    assert len({int(key) for key in sample.keys}) == len(set(numbers.tolist()))
    assert sample.keys.dtype == np.int64


def test_wrong_items_and_priorities_are_refused(make_replay, make_items):
    replay = make_replay(sampler=Prioritized(exponent=1.0))
    wrong = make_items(0, 2) | {"reward": np.zeros(2)}
    with pytest.raises(ValueError, match=r"\['reward'\] to be float32 \[2\]"):
        replay.insert("table", wrong)
    # Reverb itself would never answer again after this.
    with pytest.raises(ValueError, match="finite priorities >= 0, got -1"):
        replay.insert("table", make_items(0, 2), np.array([1.0, -1.0]))
    replay.insert("table", make_items(0, 2))
    assert replay.info("table").size == 2


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_probabilities_are_powers_of_priorities(make_replay, make_items, exponent):
    replay = make_replay(sampler=Prioritized(exponent=exponent))
    priorities = np.array([0.0, 1.0, 2.0, 5.0])
    replay.insert("table", make_items(0, 4), priorities)
    weights = np.where(priorities > 0, priorities**exponent, 0)
    sample = replay.sample("table", 50)
    expected = (weights / weights.sum())[sample.data["reward"].astype(int)]
    # A priority of zero has no weight, even with an exponent of zero.
    assert (expected > 0).all()
    np.testing.assert_allclose(sample.probabilities, expected, rtol=1e-6)


def test_when_all_priorities_are_zero_all_are_alike(make_replay, make_items):
    replay = make_replay(sampler=Prioritized(exponent=1.0))
    replay.insert("table", make_items(0, 4), np.zeros(4))
    np.testing.assert_allclose(replay.sample("table", 30).probabilities, 1 / 4)


def test_a_new_priority_changes_what_is_drawn(make_replay, make_items):
    replay = make_replay(sampler=Prioritized(exponent=1.0))
    replay.insert("table", make_items(0, 4), np.array([1.0, 0, 0, 0]))
    key = replay.sample("table", 1).keys
    replay.update_priorities("table", key, np.zeros(1))
    assert drawn(replay) == {0, 1, 2, 3}
    replay.update_priorities("table", key, np.ones(1))
    assert drawn(replay) == {0}
    # Of items that are gone, nothing is said.
    replay.delete("table", key)
    replay.update_priorities("table", key, np.ones(1))
    assert replay.info("table").size == 3


# --- In order -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "first"),
    [(Fifo(), 0), (Lifo(), 3), (MinHeap(), 1), (MaxHeap(), 2)],
    ids=str,
)
def test_samplers_in_order_take_the_first_each_time(
    make_replay, make_items, sampler, first
):
    replay = make_replay(sampler=sampler)
    replay.insert("table", make_items(0, 4), np.array([3.0, 1.0, 3.5, 2.0]))
    sample = replay.sample("table", 3)
    assert sample.data["reward"].tolist() == [first] * 3
    assert sample.probabilities.tolist() == [1.0] * 3


@pytest.mark.parametrize("sampler", [MinHeap(), MaxHeap()], ids=str)
def test_of_equal_priorities_the_longest_untouched_comes_first(
    make_replay, make_items, sampler
):
    replay = make_replay(sampler=sampler)
    replay.insert("table", make_items(0, 3), np.ones(3))
    for expected in (0, 1, 2, 0):
        sample = replay.sample("table", 1)
        assert sample.data["reward"].tolist() == [expected]
        # To the same priority: it is touched all the same.
        replay.update_priorities("table", sample.keys, np.ones(1))


@pytest.mark.parametrize(
    ("remover", "left"),
    [
        (Fifo(), {2, 3, 4}),
        (Lifo(), {0, 1, 2}),
        (MinHeap(), {0, 1, 3}),
        (MaxHeap(), {2, 3, 4}),
    ],
    ids=str,
)
def test_an_item_is_inserted_first_and_then_one_goes(
    make_replay, make_items, remover, left
):
    replay = make_replay(max_size=3, remover=remover)
    replay.insert("table", make_items(0, 5), np.array([5.0, 4.0, 1.0, 3.0, 2.0]))
    assert drawn(replay) == left
    info = replay.info("table")
    assert (info.size, info.num_inserted, info.num_deleted) == (3, 5, 2)


@pytest.mark.parametrize(
    ("kind", "order"), [("queue", [0, 1, 2]), ("stack", [2, 1, 0])]
)
def test_queues_and_stacks(engine, make_config, make_items, kind, order):
    signature = make_config().signature
    config = getattr(TableConfig, kind)("table", signature, 3)
    replay = Replay([config], seed=0, engine=engine)
    assert replay.insert("table", make_items(0, 5)) == 3
    with pytest.raises(NotReady, match="insert"):
        replay.insert("table", make_items(5, 6))
    assert rewards(replay, 3) == order
    info = replay.info("table")
    assert (info.size, info.num_sampled, info.num_deleted) == (0, 3, 3)


def test_an_item_goes_when_it_was_sampled_often_enough(make_replay, make_items):
    replay = make_replay(sampler=Fifo(), max_times_sampled=2)
    replay.insert("table", make_items(0, 2))
    sample = replay.sample("table", 2)
    assert sample.data["reward"].tolist() == [0, 0]
    assert sample.times_sampled.tolist()[-1] == 2
    # What is left is asked for, before somebody waits for ever.
    with pytest.raises(NotReady):
        replay.sample("table", 3)
    assert rewards(replay, 2) == [1, 1]


def test_what_is_left_to_sample_is_known_when_some_was_sampled(make_replay, make_items):
    replay = make_replay(sampler=Fifo(), max_times_sampled=2)
    replay.insert("table", make_items(0, 2))
    first = replay.sample("table", 1).keys
    with pytest.raises(NotReady, match="3 items left to sample, of 4"):
        replay.sample("table", 4)
    assert rewards(replay, 3) == [0, 1, 1]
    replay.insert("table", make_items(2, 4))
    keys = replay.sample("table", 1).keys
    replay.delete("table", np.concatenate([first, keys]))
    with pytest.raises(NotReady, match="2 items left to sample, of 3"):
        replay.sample("table", 3)
    assert rewards(replay, 2) == [3, 3]
    replay.insert("table", make_items(4, 5))
    replay.sample("table", 1)
    replay.reset("table")
    replay.insert("table", make_items(5, 7))
    assert rewards(replay, 4) == [5, 5, 6, 6]


# --- Who waits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limiter", "num_inserted", "num_sampled"),
    [
        (SamplesPerInsert(ratio=1, min_size=2, error_buffer=3), 5, 6),
        (SamplesPerInsert(ratio=2, min_size=1, error_buffer=2), 2, 4),
        (SamplesPerInsert(ratio=0.5, min_size=2, error_buffer=2), 6, 4),
        (Queue(size=4), 4, 4),
    ],
    ids=str,
)
def test_limits_are_met_to_the_item(
    make_replay, make_items, limiter, num_inserted, num_sampled
):
    replay = make_replay(rate_limiter=limiter)
    assert replay.insert("table", make_items(0, 8)) == num_inserted
    for _ in range(num_sampled):
        replay.sample("table", 1)
    with pytest.raises(NotReady):
        replay.sample("table", 1)
    assert replay.insert("table", make_items(8, 9)) == 1


def test_deletions_let_inserts_in_up_to_the_minimum_size(make_replay, make_items):
    limiter = SamplesPerInsert(ratio=1, min_size=3, error_buffer=1)
    replay = make_replay(rate_limiter=limiter)
    assert replay.insert("table", make_items(0, 9)) == 4
    replay.delete("table", replay.sample("table", 1).keys)
    replay.delete("table", replay.sample("table", 1).keys)
    with pytest.raises(NotReady):  # 2 items of 3
        replay.sample("table", 1)
    assert replay.insert("table", make_items(9, 10)) == 1


def test_after_a_reset_the_limiter_begins_again(make_replay, make_items):
    replay = make_replay(rate_limiter=Queue(size=2))
    replay.insert("table", make_items(0, 2))
    replay.reset("table")
    info = replay.info("table")
    assert (info.size, info.num_inserted, info.num_sampled) == (0, 0, 0)
    assert replay.insert("table", make_items(2, 5)) == 2


def test_waiting_calls_have_deadlines_and_end_with_the_run(
    engine, make_config, make_items
):
    config = make_config(rate_limiter=MinSize(min_size=3))
    program = Program("waiting")
    replay = program.add_node(
        Node(Replay, [config], seed=0, engine=engine), label="replay"
    )
    with launch(program, "threads") as run:
        client = run.client(replay)
        client.insert("table", make_items(0, 2))
        with pytest.raises(RpcTimeout), deadline(0.05):
            client.sample("table", 1)
        first = start(client.sample, "table", 1)
        client.insert("table", make_items(2, 3))
        assert len(first.result().keys) == 1
        client.reset("table")
        waiting = start(client.sample, "table", 1)
    with pytest.raises(RpcClosed):
        waiting.result()


# --- Writers ----------------------------------------------------------------------


def test_items_share_rows(engine):
    config = windows_config(
        replacement=True, max_times_sampled=1, max_size=3, rate_limiter=Queue(size=3)
    )
    replay = Replay([config], seed=0, engine=engine)
    writer = Writer(replay)
    writer.write([windows((0, 1), (1, 2))], steps={"frame": frames(10, 11, 12)})
    writer.write([windows((2, -1))], num_env_steps=5)
    found = replay.sample("windows", 3).data
    assert found["frames"][:, :, 0].tolist() == [[10, 11], [11, 12], [12, 0]]
    assert found["number"].tolist() == [1, 2, -1]
    assert replay.num_env_steps() == 5


# --- Where Reverb deviates --------------------------------------------------------


@deviates("it computes limits in floating point", ours=(1, 6), reverbs=(0, 5))
def test_limits_are_met_with_nothing_to_spare(make_replay, make_items, expected):
    """0.3 * 3 - 1 is 0.3 * 3 - 1, and 0.2 * 6 is 0.2 + 1: waiting would be an error.

    A program whose window is as narrow as it may be would wait for ever.
    """
    replay = make_replay(
        rate_limiter=SamplesPerInsert(ratio=0.3, min_size=3, error_buffer=1)
    )
    replay.insert("table", make_items(0, 3))
    num_sampled = 0
    with pytest.raises(NotReady):
        while True:
            replay.sample("table", 1)
            num_sampled += 1
    replay = make_replay(
        rate_limiter=SamplesPerInsert(ratio=0.2, min_size=1, error_buffer=1)
    )
    assert (num_sampled, replay.insert("table", make_items(0, 8))) == expected


@deviates(
    "it samples one item after the other", ours=[3, 3, 3, 1], reverbs=[1, 2, 3, 1]
)
def test_a_sample_is_one_event(make_replay, make_items, expected):
    """An item that is in a sample three times has the count after the sample."""
    replay = make_replay(sampler=Fifo(), max_times_sampled=3)
    replay.insert("table", make_items(0, 2))
    sample = replay.sample("table", 4)
    assert sample.data["reward"].tolist() == [0, 0, 0, 1]
    assert sample.times_sampled.tolist() == expected


@deviates("its mutations do not say what they found", ours=1, reverbs=2)
def test_an_update_says_how_many_items_it_found(make_replay, make_items, expected):
    """A learner can see that most items of a batch were evicted meanwhile."""
    replay = make_replay(sampler=Fifo())
    replay.insert("table", make_items(0, 2))
    first = replay.sample("table", 1).keys
    replay.delete("table", first)
    keys = np.concatenate([first, replay.sample("table", 1).keys])
    assert replay.update_priorities("table", keys, np.ones(2)) == expected


@deviates("it counts a sample for good", ours=0, reverbs=2)
def test_unused_samples_are_returned(make_replay, make_items, expected):
    """Otherwise inserts would be admitted for samples that no learner has used."""
    replay = make_replay()
    replay.insert("table", make_items(0, 2))
    cursor = SampleCursor(1, num_used=0)
    replay.sample("table", 2, cursor)
    replay.close_cursor(cursor)
    assert replay.info("table").num_sampled == expected


@deviates("its clients cannot name the key of an item", ours=None, reverbs=ConfigError)
def test_an_item_that_is_there_is_changed_and_not_inserted(
    make_replay, make_items, expected
):
    """It waits as an insert does, is not counted, and ignores items that are gone."""
    replay = make_replay(sampler=Fifo(), rate_limiter=Queue(size=1))
    replay.insert("table", make_items(0, 1))
    with pytest.raises(NotReady):
        replay.assign("table", np.array([0]), make_items(7, 8), np.ones(1))
    keys = replay.sample("table", 1).keys
    if expected is not None:
        with pytest.raises(expected, match="cannot change the contents of items"):
            replay.assign("table", keys, make_items(7, 8), np.ones(1))
        return
    assert replay.assign("table", keys, make_items(7, 8), np.ones(1)) == 1
    assert replay.assign("table", keys + 1, make_items(9, 10), np.ones(1)) == 0
    info = replay.info("table")
    assert (info.size, info.num_inserted, info.num_deleted) == (1, 1, 0)
    replay.insert("table", make_items(1, 2))
    assert rewards(replay) == [7]


@NEEDS_REVERB
def test_reverbs_writers_have_one_count_of_steps_for_all_columns(reverb):
    """In our engine each column counts its own steps, so none lacks a value."""
    server = reverb.Server([reverb.Table.queue("table", 3)])
    theirs = server.localhost_client().trajectory_writer(num_keep_alive_refs=2)
    ours = TrajectoryWriter(Replay([windows_config()], seed=0), num_keep=2)
    for writer in (theirs, ours):
        writer.append({"a": np.float32(1)})
        writer.append({"b": np.float32(2)})
    assert [cell is None for cell in theirs.history["b"]] == [True, False]
    assert len(ours.history["b"]) == 1
    theirs.close()


@NEEDS_REVERB
def test_reverbs_items_need_a_priority(reverb, make_config, make_items):
    server = reverb.Server([reverb.Table.queue("table", 3)])
    with pytest.raises(TypeError, match="priorities"):
        server.localhost_client().insert(np.ones(2))
    replay = Replay([make_config()], seed=0)
    replay.insert("table", make_items(0, 1), np.array([3.0]))
    replay.insert("table", make_items(1, 2))
    assert set(replay.sample("table", 30).priorities) == {3.0}


@NEEDS_REVERB
def test_reverb_takes_a_limiter_that_can_only_deadlock(reverb):
    """A window of width zero admits neither an insert nor a sample."""
    limits = {"samples_per_insert": 1.0, "min_diff": 0.0, "max_diff": 0.0}
    reverb.rate_limiters.RateLimiter(min_size_to_sample=1, **limits)
    with pytest.raises(ConfigError, match="both would wait for ever"):
        Raw(min_size=1, **limits)


# --- What Reverb cannot ---------------------------------------------------------------


@NEEDS_REVERB
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replacement": False}, "with replacement only"),
        ({"max_bytes": 100}, "no limit in bytes"),
        ({"sampler": lambda max_size: None}, "its own selectors only"),
    ],
)
def test_what_reverb_cannot_is_refused(make_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        Replay([make_config(**changes)], seed=0, engine="reverb")


@NEEDS_REVERB
def test_what_reverb_cannot_while_it_runs(make_config, tmp_path):
    replay = Replay([make_config()], seed=0, engine="reverb")
    with pytest.raises(ConfigError, match="cannot change a rate limiter"):
        replay.set_rate_limiter("table", MinSize(min_size=1))
    with pytest.raises(ConfigError, match="only the replay engine 'own'"):
        replay.start_checkpoint(str(tmp_path))


@NEEDS_REVERB
def test_checkpoints_for_reverb_are_refused_before_it_starts(make_config, tmp_path):
    with pytest.raises(ConfigError, match="only the replay engine 'own'"):
        Replay([make_config()], seed=0, engine="reverb", restore=str(tmp_path))


@NEEDS_REVERB
def test_a_sample_that_reverb_does_not_give_is_an_error(make_config, make_items):
    config = make_config(rate_limiter=MinSize(min_size=3))
    tables = make_tables("reverb", [config], {}, seed=0, reverb_timeout=0.01)
    table = tables["table"]
    table.insert(make_items(0, 2))
    # A caller that asks `blocks_sample` first does not get here.
    with pytest.raises(
        RuntimeError, match="'table': Reverb returned no sample of 1 items"
    ):
        table.sample(1)
    table.insert(make_items(2, 3))
    for thread in threading.enumerate():
        if thread.name == "Reverb's sample":
            thread.join()


@NEEDS_REVERB
@pytest.mark.parametrize("engine", ["reverb"])
def test_evictions_that_reverb_does_not_tell_of_leave_as_many_as_are_held(
    make_replay, make_items
):
    replay = make_replay(max_size=3, sampler=Fifo(), max_times_sampled=2)
    for k in range(0, 30, 3):
        replay.insert("table", make_items(k, k + 3))
        replay.sample("table", 1)
    assert rewards(replay, 3) == [27, 28, 28]


@pytest.mark.skipif(HAS_REVERB, reason="reverb is installed")
def test_without_reverb_it_is_said_how_to_get_it(make_config):
    with pytest.raises(ConfigError, match="make reverb-env"):
        Replay([make_config()], seed=0, engine="reverb")


def test_an_engine_that_there_is_not_is_refused(make_config):
    with pytest.raises(ConfigError, match=r"one of .*'own', 'reverb'.*, got 'redis'"):
        Replay([make_config()], seed=0, engine="redis")
