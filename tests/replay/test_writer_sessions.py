"""Writers that replay forgets or refuses, and how long they wait."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike import Node, Program, core, launch
from acmelike.core import runtime
from acmelike.core.future import RemoteMethod
from acmelike.errors import NotReady, RpcClosed, RpcTimeout
from acmelike.replay import Fifo, Items, Queue, Replay, Writer
from tests.replay.test_writer import frames, held, num_rows, windows, windows_config


@pytest.fixture
def tables(make_config):
    """A queue of two, and a table whose inserts never wait."""
    queue = make_config(
        name="queue",
        sampler=Fifo(),
        max_times_sampled=1,
        rate_limiter=Queue(size=2),
    )
    return [queue, make_config(name="other")]


@pytest.fixture
def forget(make_items):
    """Other writers write until an idle writer is forgotten."""

    def write(replay):
        for _ in range(2):
            Writer(replay).write([Items("other", make_items(0, 1))])

    return write


class Connection:
    """A connection to replay that notes messages, and that a test can redirect.

    Args:
      replay: the service.
    """

    def __init__(self, replay):
        self.replay, self.messages = replay, []
        self.after = lambda: None

    def write(self, message):
        self.messages.append(message)
        result = self.replay.write(message)
        self.after()
        return result

    def close_writer(self, writer):
        self.replay.close_writer(writer)


def rewards(sample):
    return sample.data["reward"].astype(int).tolist()


def drained(replay):
    """All items of the queue."""
    return rewards(replay.sample("queue", replay.info("queue").size))


# --- Replaced -------------------------------------------------------------------------


def test_a_successor_is_told_of_the_last_items(tables, make_items):
    replay = Replay(tables, seed=0)
    first, second = Writer(replay, name="a"), Writer(replay, name="a")
    assert first.take_over() == -1
    first.write([Items("other", make_items(0, 1))], version=3)
    first.write(num_env_steps=1_000, version=4)  # Has no items.
    assert replay.num_env_steps() == 1_000
    assert [second.take_over() for _ in range(2)] == [3, 3]
    second.write([Items("other", make_items(1, 2))], version=5)
    assert Writer(replay, name="a").take_over() == 5
    assert Writer(replay, name="b").take_over() == -1


def test_a_writer_without_a_name_has_no_successor(tables, make_items):
    replay = Replay(tables, seed=0)
    Writer(replay).write([Items("other", make_items(0, 1))], version=3)
    assert Writer(replay).take_over() == -1


def test_a_writer_that_was_replaced_is_refused_and_does_not_wait(tables, make_items):
    replay = Replay(tables, seed=0)
    first, second = Writer(replay, name="a"), Writer(replay, name="a")
    first.take_over()
    first.write([Items("queue", make_items(0, 2))], version=3)
    with pytest.raises(NotReady):
        first.write([Items("queue", make_items(2, 3))], version=4)  # None of it fits.
    assert second.take_over() == 3
    with pytest.raises(
        ValueError, match="2: another writer has taken the place of 'a'"
    ):
        first.flush()
    assert drained(replay) == [0, 1]


def test_nobody_takes_the_place_of_a_writer_with_half_a_message(tables, make_items):
    replay = Replay(tables, seed=0)
    first, second = Writer(replay, name="a"), Writer(replay, name="a")
    first.take_over()
    with pytest.raises(NotReady):
        first.write([Items("queue", make_items(0, 3))], version=3)  # One does not fit.
    with pytest.raises(ValueError, match="admitted only a part of its last message"):
        second.take_over()
    drained(replay)
    first.flush()
    assert second.take_over() == 3


def test_a_successor_releases_the_steps_of_the_writer_before():
    replay = Replay([windows_config()], seed=0)
    first = Writer(replay, name="a")
    first.take_over()
    first.write([windows((0, 1))], steps={"frame": frames(0, 1, 2)})
    assert num_rows(replay) == 3
    Writer(replay, name="a").take_over()
    assert num_rows(replay) == 2  # Those of the item.


# --- Forgotten ------------------------------------------------------------------------


def test_the_oldest_of_very_many_writers_are_forgotten():
    replay = Replay([windows_config(max_size=1)], seed=0, max_writers=2)
    for number in range(4):
        Writer(replay).write([windows((0, 1))], steps={"frame": frames(number, 9)})
    # Two steps for each of two writers; the item's are among them.
    assert num_rows(replay) == 4


def test_the_writer_that_was_heard_of_last_is_remembered():
    replay = Replay([windows_config()], seed=0, max_writers=2)
    writers = [Writer(replay) for _ in range(3)]
    for writer in (writers[0], writers[1], writers[0], writers[2]):
        writer.write([windows((0, 0))], steps={"frame": frames(1)})
    writers[0].write([windows((0, 1))])
    with pytest.raises(ValueError, match="steps that were written, got none of 'frame"):
        writers[1].write([windows((0, 0))])


def test_a_writer_with_items_left_is_not_forgotten(tables, forget, make_items):
    replay = Replay(tables, seed=0, max_writers=2)
    writer = Writer(replay)
    with pytest.raises(NotReady):
        writer.write([Items("queue", make_items(0, 5))])
    forget(replay)
    found = drained(replay)
    with pytest.raises(NotReady):
        writer.flush()
    forget(replay)
    found += drained(replay)
    writer.flush()
    assert found + drained(replay) == [0, 1, 2, 3, 4]


def test_what_a_forgotten_writer_repeats_is_taken_once(tables, forget):
    replay = Replay([*tables, windows_config()], seed=0, max_writers=2)
    connection = Connection(replay)
    writer = Writer(connection)
    writer.write([windows((0, 1))], steps={"frame": frames(0, 1)})
    writer.write([windows((1, 1))])
    forget(replay)
    assert num_rows(replay) == 2  # those of the items
    assert [replay.write(message) for message in connection.messages] == [1, 1]
    assert held(replay) == [[0, 1], [1, 1]]


def test_a_forgotten_writer_goes_on_without_its_steps(tables, forget):
    replay = Replay([*tables, windows_config()], seed=0, max_writers=2)
    writer = Writer(replay)
    writer.write([windows((0, 1))], steps={"frame": frames(0, 1)})
    forget(replay)
    with pytest.raises(ValueError, match="of steps 2 to 2 of 'frame', got 1"):
        writer.write([windows((1, 2))], steps={"frame": frames(2)})
    writer.write([windows((2, 3))], steps={"frame": frames(3)})
    assert held(replay) == [[0, 1], [2, 3]]


def test_a_writer_continues_when_replay_restarted(tables, make_items):
    connection = Connection(Replay(tables, seed=0))
    writer = Writer(connection)
    for k in range(3):
        writer.write([Items("other", make_items(k, k + 1))])
    connection.replay = Replay(tables, seed=0)
    for k in range(2):
        writer.write([Items("queue", make_items(k, k + 1))])
    assert drained(connection.replay) == [0, 1]


def test_when_replay_restarted_half_a_message_is_lost_with_a_word(tables, make_items):
    connection = Connection(Replay(tables, seed=0))

    def restart():
        connection.replay, connection.after = Replay(tables, seed=0), lambda: None

    connection.after = restart  # when it has two items of five
    writer = Writer(connection)
    with pytest.raises(ValueError, match="the items are lost"):
        writer.write([Items("queue", make_items(0, 5))])
    writer.write([Items("queue", make_items(5, 6))])
    assert drained(connection.replay) == [5]


def test_when_a_writer_is_closed_what_is_left_is_lost_with_a_word(tables, make_items):
    replay = Replay(tables, seed=0)
    writer = Writer(replay)
    with pytest.raises(NotReady):
        writer.write([Items("queue", make_items(0, 5))])
    writer.close()
    with pytest.raises(ValueError, match="the items are lost"):
        writer.flush()
    assert drained(replay) == [0, 1]
    writer.write([Items("queue", make_items(5, 6))])
    assert drained(replay) == [5]


# --- Refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"expected items to have shape \[n, ...\], got no leaf"),
        (
            {"pixels": np.uint8(1)},
            r"'other'.* items\['pixels'\] to have shape \[n, ...\], got shape \[\]",
        ),
    ],
)
def test_items_without_a_leading_axis_are_refused_at_once(
    tables, make_items, data, message
):
    replay = Replay(tables, seed=0)
    writer = Writer(replay)
    with pytest.raises(ValueError, match=message):
        writer.write([Items("other", data)])
    writer.write([Items("other", make_items(0, 1))])
    assert replay.info("other").num_inserted == 1


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        (np.zeros((1, 3), np.uint8), r"uint8 \[1, 3\]"),
        (np.zeros((1, 2)), r"float64 \[1, 2\]"),
        (np.uint8(1), r"uint8 \[\]"),
    ],
)
def test_steps_unlike_those_that_wait_are_refused_at_once(rows, got):
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write(steps={"frame": frames(0)})
    with pytest.raises(
        ValueError, match=rf"'frame': expected rows to be uint8 .'m', 2., got {got}"
    ):
        writer.write([windows((0, 1))], steps={"frame": rows}, num_env_steps=5)
    writer.write([windows((0, 1))], steps={"frame": frames(1)}, num_env_steps=1)
    assert held(replay) == [[0, 1]]
    assert replay.num_env_steps() == 1


@pytest.mark.parametrize("is_taken", [False, True])
def test_after_an_error_of_any_kind_a_writer_goes_on(tables, make_items, is_taken):
    connection = Connection(Replay(tables, seed=0))

    class Broken:
        def write(self, message):
            raise RuntimeError("out of order")

    def fail():
        connection.after = lambda: None
        raise RuntimeError("out of order")

    writer = Writer(connection)
    writer.write([Items("other", make_items(0, 1))])
    replay = connection.replay
    if is_taken:
        connection.after = fail
    else:
        connection.replay = Broken()
    with pytest.raises(RuntimeError, match="out of order"):
        writer.write([Items("other", make_items(1, 2))])
    connection.replay = replay
    writer.write([Items("other", make_items(2, 3))])
    assert replay.info("other").num_inserted == 2 + is_taken


def test_steps_are_skipped_only_if_none_wait():
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write([windows((0, 0))], steps={"frame": frames(7)})
    writer.skip("frame", 3)
    writer.write([windows((0, 4))], steps={"frame": frames(8)})
    assert held(replay) == [[7, 7], [7, 8]]
    with pytest.raises(ValueError, match="of steps 0 to 4 of 'frame', got 3"):
        writer.write([windows((3, 4))])
    writer.write(steps={"frame": frames(9)})
    with pytest.raises(ValueError, match="'frame': steps before those to skip wait"):
        writer.skip("frame", 1)


# --- Deadlines ------------------------------------------------------------------------


class Clock:
    """The context of a node, with a time that a test sets."""

    is_serial = False

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time


@pytest.fixture
def clock():
    clock = Clock()
    runtime.set_context(clock)
    yield clock
    runtime.set_context(None)


class Call(core.Future):
    def __init__(self, outcome):
        self.outcome = outcome

    def done(self):
        return self.outcome is not None

    def result(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self):
        self.outcome = RpcClosed("cancelled")


class Slow(RemoteMethod):
    """Replay's `write`, which admits one item in a quarter of a second.

    Attributes:
      timeouts: the seconds that were left when it was called.
      calls: what came of it.
    """

    def __init__(self, clock):
        self.clock, self.num_admitted = clock, 0
        self.timeouts, self.calls = [], []

    def submit(self, args, kwargs):
        timeout = runtime.seconds_left()
        self.timeouts.append(timeout)
        if timeout is None:
            outcome = None  # It waits.
        elif timeout < 0.25:
            self.clock.time += timeout
            outcome = RpcTimeout("nothing in time")
        else:
            self.clock.time += 0.25
            self.num_admitted += 1
            outcome = self.num_admitted
        self.calls.append(Call(outcome))
        return self.calls[-1]

    def __call__(self, *args, **kwargs):
        return self.submit(args, kwargs).result()


class SlowReplay:
    def __init__(self, clock):
        self.write = Slow(clock)


def test_a_deadline_is_for_all_parts_together(clock, make_items):
    replay = SlowReplay(clock)
    writer = Writer(replay)
    with pytest.raises(RpcTimeout), core.deadline(0.625):
        writer.write([Items("table", make_items(0, 9))])
    assert replay.write.timeouts == [0.625, 0.375, 0.125]
    with pytest.raises(RpcTimeout), core.deadline(0.25):
        writer.flush()
    assert replay.write.timeouts[3:] == [0.25, 0.0]


def test_a_message_sent_ahead_under_a_deadline_is_sent_again_when_it_has_passed(
    clock, make_items
):
    replay = SlowReplay(clock)
    writer = Writer(replay, num_ahead=1)
    with core.deadline(0.125):
        writer.write([Items("table", make_items(0, 1))])
    assert replay.write.timeouts == [0.125]  # It is under way, and will be too late.
    with core.deadline(0.5):
        writer.flush()
    assert replay.write.timeouts == [0.125, 0.5]


class Impatient:
    """Writes more than fits into its timeout, and ends the run at that time."""

    def __init__(self, replay, items):
        self.writer, self.items = Writer(replay), items

    def step(self):
        try:
            with core.deadline(5.0):
                self.writer.write([Items("queue", self.items)])
        except RpcTimeout:
            core.stop_run(f"it is {core.now()}")


class Sampler:
    """Takes an item every two seconds."""

    def __init__(self, replay):
        self.replay = replay

    def step(self):
        core.sleep(2.0, "the next item")
        self.replay.sample("queue", 1)


def test_under_serial_a_timeout_is_of_logical_time(tables, make_items):
    program = Program("impatient")
    replay = program.add_node(Node(Replay, tables, seed=0), label="replay")
    program.add_node(Node(Impatient, replay, make_items(0, 9)), label="writer")
    program.add_node(Node(Sampler, replay), label="sampler")
    with launch(program, "serial") as run:
        assert run.wait(timeout=30) == "it is 5.0"
