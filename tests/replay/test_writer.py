"""The writer: all items arrive, once and in order."""

from __future__ import annotations

import numpy as np
import pytest
from dm_env import specs

from acmelike.core import deadline, sleep, stop_run, updating, when
from acmelike.errors import Deadlock, NodeFailed, NotReady, RpcTimeout
from acmelike.graph import Node, Program
from acmelike.launchers import launch
from acmelike.replay import (
    PADDING,
    EpisodeEnd,
    Fifo,
    Items,
    Lifo,
    MinSize,
    Replay,
    Rows,
    SamplesPerInsert,
    TableConfig,
    Writer,
)

FRAME = specs.Array((2,), np.uint8, "frame")


def windows_config(name="windows", **changes):
    """Items of two frames and a number."""
    settings = {
        "name": name,
        "signature": {
            "frames": Rows(column="frame", row=FRAME, length=2),
            "number": specs.Array((), np.int64),
        },
        "max_size": 4,
        "sampler": Fifo(),
        "rate_limiter": MinSize(min_size=1),
        "replacement": False,
    }
    return TableConfig(**(settings | changes))


def frames(*numbers):
    return np.array([[n, n] for n in numbers], np.uint8)


def windows(*pairs, table="windows"):
    """Items of these pairs of steps; the number is that of the second."""
    numbers = np.array(pairs, np.int64)
    return Items(table, {"frames": numbers, "number": numbers[:, 1]})


def held(replay, table="windows"):
    size = replay.info(table).size
    return replay.sample(table, size).data["frames"][:, :, 0].tolist()


def num_rows(replay):
    return replay.row_bytes()["frame"] // 2  # A frame has two bytes.


@pytest.fixture
def make_replay(make_config):
    def make(*, order=False, **changes):
        if order:
            changes |= {"sampler": Fifo(), "replacement": False}
        return Replay([make_config(**changes)], seed=0)

    return make


# --- Items by value -------------------------------------------------------------------


def test_a_table_gets_what_was_written(make_replay, make_items):
    replay = make_replay(order=True)
    writer = Writer(replay)
    writer.write([Items("table", make_items(0, 3))], num_env_steps=3)
    writer.write([Items("table", make_items(3, 5), np.array([7.0, 8.0]))])
    sample = replay.sample("table", 5)
    assert sample.data["reward"].tolist() == [0, 1, 2, 3, 4]
    assert sample.priorities.tolist() == [1, 1, 1, 7, 8]
    assert replay.num_env_steps() == 3


def test_steps_without_items_are_counted_with_the_next_ones(make_replay, make_items):
    replay = make_replay()
    writer = Writer(replay)
    writer.write(num_env_steps=4)
    writer.write(num_env_steps=4)
    assert replay.num_env_steps() == 0
    writer.write([Items("table", make_items(0, 1))], num_env_steps=1)
    assert replay.num_env_steps() == 9


def test_many_steps_without_items_are_counted_without_them(make_replay):
    replay = make_replay()
    writer = Writer(replay)
    writer.write(num_env_steps=999)
    assert replay.num_env_steps() == 0
    writer.write(num_env_steps=2, episodes=[EpisodeEnd(3.0, 2)])
    assert (replay.num_env_steps(), replay.episodes().num_episodes) == (1001, 1)


def test_a_writer_waits_where_replay_does(make_replay, make_items):
    replay = make_replay()
    replay.stop_inserts("the run is over")
    with pytest.raises(NotReady, match="the run is over"):
        Writer(replay).write([Items("table", make_items(0, 3))], num_env_steps=3)


def test_what_was_not_admitted_goes_first_the_next_time(make_replay, make_items):
    limiter = SamplesPerInsert(ratio=1, min_size=1, error_buffer=1)
    replay = make_replay(order=True, rate_limiter=limiter)
    writer = Writer(replay)
    with pytest.raises(NotReady, match="samples per insert"):
        writer.write([Items("table", make_items(0, 3))], num_env_steps=3)
    assert replay.num_env_steps() == 3
    replay.sample("table", 1)
    replay.sample("table", 1)
    writer.write([Items("table", make_items(3, 4))], num_env_steps=1)
    assert replay.info("table").num_inserted == 4
    assert replay.num_env_steps() == 4
    replay.set_rate_limiter("table", MinSize(min_size=1))
    assert replay.sample("table", 4).data["reward"].tolist() == [0, 1, 2, 3]


def test_a_message_that_comes_twice_is_taken_once(make_replay, make_items):
    messages = []

    class Twice:
        """Replay where every call is repeated, as if its reply had been lost."""

        def __init__(self, replay):
            self.replay = replay

        def write(self, message):
            messages.append(message)
            self.replay.write(message)
            return self.replay.write(message)

    limiter = SamplesPerInsert(ratio=1, min_size=2, error_buffer=1)
    replay = make_replay(order=True, rate_limiter=limiter)
    writer = Writer(Twice(replay))
    writer.write([Items("table", make_items(0, 2))], num_env_steps=2)
    with pytest.raises(NotReady):
        writer.write([Items("table", make_items(2, 5))], num_env_steps=3)
    replay.set_rate_limiter("table", MinSize(min_size=1))
    writer.write()
    writer.write([Items("table", make_items(5, 6))], num_env_steps=1)
    assert replay.write(messages[0]) == 2  # It comes late, and again.
    assert replay.info("table").num_inserted == 6
    assert replay.num_env_steps() == 6
    assert replay.sample("table", 6).data["reward"].tolist() == [0, 1, 2, 3, 4, 5]


# --- Items by reference ---------------------------------------------------------------


def test_items_refer_to_steps_of_this_message_and_of_earlier_ones():
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write(steps={"frame": frames(10, 11)})  # waits for items
    writer.write([windows((0, 1), (1, 2))], steps={"frame": frames(12)})
    writer.write([windows((2, 3), (PADDING, 0))], steps={"frame": frames(13)})
    assert held(replay) == [[10, 11], [11, 12], [12, 13], [0, 10]]


def test_a_step_is_stored_once_and_only_while_somebody_may_use_it():
    tables = [windows_config(), windows_config("others", max_size=1)]
    replay = Replay(tables, seed=0)
    writer = Writer(replay)
    steps = {"frame": frames(0, 1, 2, 3, 4, 5)}
    writer.write(
        [windows((0, 1), (1, 2), (2, 2)), windows((1, 1), table="others")],
        steps=steps,
        keep_from={"frame": 4},
    )
    # 0, 1 and 2 by items, 4 and 5 by the writer.
    assert replay.row_bytes() == {"frame": 5 * 2}
    assert replay.info("windows").num_bytes == 3 * (2 * 8 + 8) + 3 * 2
    assert [info.num_row_bytes for info in replay.infos()] == [3 * 2, 1 * 2]
    assert replay.info("others").num_bytes == 1 * (2 * 8 + 8) + 1 * 2
    index_bytes = [replay.info(name).num_index_bytes for name in ("windows", "others")]
    assert index_bytes == [3 * 48 + 3 * 16, 1 * 48 + 1 * 16]
    replay.reset("windows")
    assert num_rows(replay) == 3  # 1 for the other table
    writer.write([windows((4, 4), table="others")])
    assert num_rows(replay) == 2  # the newer item of a table of one
    writer.close()
    assert num_rows(replay) == 1
    replay.reset("others")
    assert num_rows(replay) == 0


def test_steps_that_no_item_can_refer_to_are_not_sent():
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    for number in range(3):
        kept = {"frame": number}  # The last step, and not those before.
        writer.write(steps={"frame": frames(number)}, keep_from=kept)
    writer.write([windows((2, 3))], steps={"frame": frames(3)})
    assert held(replay) == [[2, 3]]
    assert num_rows(replay) == 2
    # Nor does it matter if all are out of reach, or if they come with a count.
    writer.write(steps={"frame": frames(4)}, keep_from={"frame": 5})
    writer.write(num_env_steps=1_000)
    assert replay.num_env_steps() == 1_000
    kept = {"frame": 5}
    writer.write(steps={"frame": frames(5, 6)}, keep_from=kept, num_env_steps=1_000)
    assert num_rows(replay) == 4  # Those two, and those of the item.
    writer.write([windows((5, 6))])
    assert held(replay) == [[2, 3], [5, 6]]


def test_rows_are_used_again_and_hold_what_they_should():
    replay = Replay([windows_config(max_size=3)], seed=0)
    writer, random = Writer(replay), np.random.default_rng(0)
    step = 0
    for _ in range(200):
        num = int(random.integers(1, 6))
        rows = frames(*(n % 251 for n in range(step, step + num)))
        pairs = [(max(0, n - 1), n) for n in range(step, step + num)]
        step += num
        writer.write(
            [windows(*pairs)], steps={"frame": rows}, keep_from={"frame": step - 1}
        )
        expected = [[m % 251, n % 251] for m, n in windows_of(step)]
        assert held(replay) == expected
    assert num_rows(replay) <= 5


def windows_of(step):
    """The last three pairs of steps."""
    return [(max(0, n - 1), n) for n in range(max(0, step - 3), step)]


@pytest.mark.parametrize(
    ("items", "steps", "message"),
    [
        (windows((0, 7)), frames(1), r"\['frames'\] to be of steps 0 to 1 .* got 7"),
        (windows((0, 1), table="no"), frames(1), "a table of .* got 'no'"),
        (
            Items("windows", {"frames": np.zeros((1, 3), int), "number": np.zeros(1)}),
            frames(1),
            r"\['frames'\] to be int64 \[1, 2\], got int64 \[1, 3\]",
        ),
    ],
)
def test_of_items_that_are_refused_only_the_steps_stay(items, steps, message):
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write([windows((0, 0))], steps={"frame": frames(9)})
    before = replay.infos()
    with pytest.raises(ValueError, match=message):
        writer.write([windows((0, 0)), items], steps={"frame": steps}, num_env_steps=1)
    assert replay.infos() == before
    assert replay.num_env_steps() == 0
    writer.write([windows((1, 2))], steps={"frame": frames(12)})
    assert held(replay) == [[9, 9], [1, 12]]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (np.zeros((1, 3), np.uint8), r"rows to be uint8 \['m', 2\]"),
        (np.zeros((1, 2)), "rows to be uint8 .* got float64"),
    ],
)
def test_steps_that_are_refused_change_nothing_and_are_not_tried_again(steps, message):
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write([windows((0, 0))], steps={"frame": frames(9)})
    before = num_rows(replay), replay.infos()
    with pytest.raises(ValueError, match=message):
        writer.write([windows((0, 1))], steps={"frame": steps}, num_env_steps=1)
    assert (num_rows(replay), replay.infos()) == before
    # They have their numbers all the same.
    writer.write([windows((0, 2))], steps={"frame": frames(12)})
    assert held(replay) == [[9, 9], [9, 12]]


@pytest.mark.parametrize("number", [np.int64(3), 0.5])
def test_items_without_rows_are_refused_and_forgotten(number):
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    writer.write(steps={"frame": frames(0, 1)})
    wrong = Items("windows", {"frames": np.zeros((1, 2), int), "number": number})
    with pytest.raises(ValueError, match=r"\['number'\] to be int64 \[1\]"):
        writer.write([wrong, wrong])
    writer.write([windows((0, 1))])
    assert held(replay) == [[0, 1]]


def test_a_step_that_is_no_longer_kept_cannot_be_referred_to():
    replay = Replay([windows_config()], seed=0)
    writer = Writer(replay)
    steps = {"frame": frames(0, 1, 2)}
    writer.write([windows((0, 1))], steps=steps, keep_from={"frame": 2})
    with pytest.raises(ValueError, match="of steps 2 to 2 of 'frame', got 1"):
        writer.write([windows((1, 2))])


def test_unknown_columns_and_items_without_a_writer_are_refused():
    replay = Replay([windows_config()], seed=0)
    with pytest.raises(ValueError, match=r"a column of .'frame'., got 'fame'"):
        Writer(replay).write([windows((0, 1))], steps={"fame": frames(0, 1)})
    with pytest.raises(ValueError, match="steps that were written, got none of 'fr"):
        replay.insert("windows", windows((0, 1)).data)


def test_max_bytes_makes_the_oldest_go():
    # An item takes 24 bytes of its own and one new row of 2.
    replay = Replay([windows_config(max_bytes=60, max_size=100)], seed=0)
    writer = Writer(replay)
    for n in range(9):
        writer.write(
            [windows((max(0, n - 1), n))],
            steps={"frame": frames(n)},
            keep_from={"frame": n},
        )
        assert replay.info("windows").num_bytes <= 60
    assert held(replay) == [[6, 7], [7, 8]]


def test_an_item_that_takes_too_many_bytes_by_itself_is_warned_of(caplog):
    # Enough for an item of two equal steps, and not of two different ones.
    replay = Replay([windows_config(max_bytes=27)], seed=0)
    writer = Writer(replay)
    writer.write([windows((0, 0))], steps={"frame": frames(0)})
    assert (replay.info("windows").size, caplog.messages) == (1, [])
    for first in (0, 1):
        pair = first, first + 1
        writer.write([windows(pair)], steps={"frame": frames(first + 1)})
    assert replay.info("windows").size == 0
    (line,) = caplog.messages
    assert line.startswith("table 'windows': an item took more than max_bytes = 27 by")


@pytest.mark.parametrize("at_once", [True, False])
def test_what_takes_too_many_bytes_goes_before_the_next_comes(at_once):
    # Two items of 24 bytes and two rows of 2 fit, and no more.
    config = windows_config(max_bytes=52, max_size=8, remover=Lifo())
    replay = Replay([config], seed=0)
    writer, pairs = Writer(replay), [(0, 1), (2, 3), (1, 0)]
    groups = [pairs] if at_once else [[pair] for pair in pairs]
    writer.write([windows(*groups[0])], steps={"frame": frames(0, 1, 2, 3)})
    for group in groups[1:]:
        writer.write([windows(*group)])
    assert held(replay) == [[0, 1], [1, 0]]


def test_without_a_priority_it_is_the_largest_when_the_item_is_inserted():
    replay = Replay([windows_config()], seed=0)
    data = windows((0, 0)).data
    writer = Writer(replay)
    writer.write(
        [
            Items("windows", data, np.array([7.0])),
            Items("windows", data),
            Items("windows", data, np.array([9.0])),
            Items("windows", data),
        ],
        steps={"frame": frames(1)},
    )
    assert replay.sample("windows", 4).priorities.tolist() == [7, 7, 9, 9]


# --- Ahead -----------------------------------------------------------------------


class Ahead:
    """A worker that writes numbers, and counts the calls that have returned.

    Args:
      replay: where to.
      wrong: the number that is written as two, which a table of single ones refuses.
      last: after which it waits for the rest and ends the run.
    """

    def __init__(self, replay, last, wrong=None):
        self._writer = Writer(replay, num_ahead=1)
        self._last, self._wrong = last, wrong
        self._num_returned = 0

    def step(self):
        number = self._num_returned
        shape = (1, 2) if number == self._wrong else (1,)
        self._writer.write([Items("numbers", np.full(shape, number))], num_env_steps=1)
        with updating(self):
            self._num_returned += 1
        if self._num_returned == self._last:
            self._writer.flush()
            stop_run("all are written")

    def _too_few(self, num):
        return None if self._num_returned >= num else f"{self._num_returned} returned"

    @when(_too_few)
    def returned(self, num):
        return self._num_returned


def numbers_config(size):
    return TableConfig.queue("numbers", specs.Array((), np.int64), size)


def ahead_program(size, **settings):
    program = Program("ahead")
    replay = program.add_node(
        Node(Replay, [numbers_config(size)], seed=0), label="replay"
    )
    writer = program.add_node(Node(Ahead, replay, **settings), label="writer")
    return program, replay, writer


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_writer_that_may_is_one_message_ahead_and_no_more(launcher):
    program, replay, writer = ahead_program(2, last=5)
    with launch(program, launcher) as run:
        # Two fit, the third is under way, and the fourth waits for it.
        run.client(writer).returned(3)
        with pytest.raises(RpcTimeout, match="3 returned"), deadline(0.2):
            run.client(writer).returned(4)
        client = run.client(replay)
        found = [client.sample("numbers", 1).data[0] for _ in range(3)]
        assert run.wait(timeout=30) == "all are written"
    assert found == [0, 1, 2]


class Gate:
    """A replay that receives a message when it is let."""

    def __init__(self):
        self.messages, self.num_let = [], 0

    def let(self, number):
        self.num_let += number

    def _closed(self, message):
        return None if self.num_let > len(self.messages) else "closed"

    @when(_closed)
    def write(self, message):
        self.messages.append(message)
        return sum(part.num_items for part in message.items)

    def _too_few(self, number):
        return None if len(self.messages) >= number else f"{len(self.messages)}"

    @when(_too_few)
    def received(self, number):
        return self.messages


class Gatherer:
    """A worker that writes numbers, and may be four calls ahead.

    Args:
      gate: where to.
      numbers: of the items of each call.
    """

    def __init__(self, gate, numbers):
        self._writer = Writer(gate, num_ahead=4)
        self._numbers, self._num_returned = list(numbers), 0

    def step(self):
        table, *values = self._numbers[self._num_returned]
        first = self._num_returned
        self._writer.write(
            [Items(table, np.array(values))],
            steps={"frame": np.full((2, 1), first)},
            keep_from={"frame": 2 * first},
            num_env_steps=2,
        )
        with updating(self):
            self._num_returned += 1
        if self._num_returned == len(self._numbers):
            self._writer.flush()
            sleep(None, "the end of the run")

    def _too_few(self, num):
        return None if self._num_returned >= num else f"{self._num_returned} returned"

    @when(_too_few)
    def returned(self, num):
        return self._num_returned


def test_what_is_written_while_a_message_is_under_way_goes_in_one():
    program = Program("gathering")
    gate = program.add_node(Node(Gate), label="gate")
    numbers = [("a", 0), ("a", 1), ("a", 2, 3), ("b", 4), ("a", 5), ("a", 6)]
    writer = program.add_node(Node(Gatherer, gate, numbers), label="writer")
    with launch(program, "threads") as run:
        run.client(writer).returned(4)
        with pytest.raises(RpcTimeout, match="4 returned"), deadline(0.2):
            run.client(writer).returned(5)  # It would be five ahead.
        run.client(gate).let(9)
        messages = run.client(gate).received(3)
    # The others of the four and the fifth, which waited for the first, and the sixth.
    items = [[part.data.tolist() for part in m.items] for m in messages]
    assert items == [[[0]], [[1, 2, 3], [4], [5]], [[6]]]
    assert [m.number for m in messages] == [1, 2, 3]
    assert [m.num_env_steps for m in messages] == [2, 8, 2]
    steps = [m.steps["frame"] for m in messages]
    assert [part.first for part in steps] == [0, 2, 10]
    assert steps[1].rows[:, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [m.keep_from for m in messages] == [{"frame": n} for n in (0, 8, 10)]


def test_serial_is_never_ahead():
    program, _, _ = ahead_program(2, last=5)
    with (
        pytest.raises(Deadlock, match=r"replay\.write"),
        launch(program, "serial") as run,
    ):
        run.wait(timeout=30)


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_what_is_wrong_with_a_message_is_raised_all_the_same(launcher):
    program, _, _ = ahead_program(9, last=5, wrong=2)
    with (
        pytest.raises(NodeFailed, match="expected items to be int64"),
        launch(program, launcher) as run,
    ):
        run.wait(timeout=30)


def test_episodes_are_told_with_the_next_items_and_counted_once():
    replay = Replay([windows_config(max_size=200)], seed=0)
    writer = Writer(replay)
    writer.write(steps={"frame": frames(0, 1)}, episodes=[EpisodeEnd(3.0, 2)])
    assert replay.episodes() == (0, None, None, None, 0)
    writer.write([windows((0, 1))], episodes=[EpisodeEnd(5.0, 4)])
    assert replay.episodes() == (2, 4.0, 3.0, 0.0, 0)
    writer.write([windows((0, 1))])
    assert replay.episodes().num_episodes == 2
    # The means are those of the last hundred.
    writer.write([windows((0, 1))], episodes=[EpisodeEnd(1.0, 1)] * 100)
    assert replay.episodes() == (102, 1.0, 1.0, 0.0, 0)
    dropped = EpisodeEnd(9.0, 9, is_dropped=True)
    writer.write([windows((0, 1))], episodes=[dropped, EpisodeEnd(101.0, 1), dropped])
    assert replay.episodes() == (103, 2.0, 1.0, 0.0, 2)
