"""`TrajectoryWriter`: items over steps that were appended one by one."""

from __future__ import annotations

import numpy as np
import pytest
from dm_env import specs

from acmelike.errors import ConfigError, NotReady
from acmelike.replay import (
    Fifo,
    MinSize,
    Queue,
    Replay,
    Rows,
    TableConfig,
    TrajectoryWriter,
)

OBSERVATION = specs.Array((2,), np.float32)
ACTION = specs.Array((), np.int32)


@pytest.fixture
def replay():
    def table(name, signature, **changes):
        settings = {
            "max_size": 10,
            "sampler": Fifo(),
            "rate_limiter": MinSize(min_size=1),
            "replacement": False,
        }
        return TableConfig(name=name, signature=signature, **(settings | changes))

    return Replay(
        [
            table(
                "transitions",
                {
                    "o_tm1": Rows(column="observation", row=OBSERVATION),
                    "a_tm1": Rows(column="action", row=ACTION),
                    "o_t": Rows(column="observation", row=OBSERVATION),
                    "weight": specs.Array((), np.float32),
                },
            ),
            table(
                "stacks",
                {
                    "observations": Rows(
                        column="observation", row=OBSERVATION, length=3
                    ),
                    "action": Rows(column="action", row=ACTION),
                },
            ),
        ],
        seed=0,
    )


def num_observations(replay):
    """How many rows replay holds, each of two float32."""
    return replay.row_bytes()["observation"] // 8


def observation(n):
    return np.array([n, -n], np.float32)


def transition(writer, weight=1.0):
    o, a = writer.history["observation"], writer.history["action"]
    return {
        "o_tm1": o[-2],
        "a_tm1": a[-1],
        "o_t": o[-1],
        "weight": np.float32(weight),
    }


def test_steps_in_parts_and_items_over_different_columns(replay):
    writer = TrajectoryWriter(replay, num_keep=4)
    writer.append({"observation": observation(0)})
    for n in range(1, 5):
        writer.append({"action": np.int32(10 * n)})
        writer.append({"observation": observation(n)})
        writer.create_item("transitions", transition(writer, n / 2), priority=n)
        if n >= 2:
            o, a = writer.history["observation"], writer.history["action"]
            writer.create_item("stacks", {"observations": o[-3:], "action": a[-1]})
    assert replay.info("transitions").size == 0  # before `flush`
    writer.flush()
    found = replay.sample("transitions", 4)
    assert found.data["o_tm1"].tolist() == [[n, -n] for n in range(4)]
    assert found.data["o_t"].tolist() == [[n, -n] for n in range(1, 5)]
    assert found.data["a_tm1"].tolist() == [10, 20, 30, 40]
    assert found.data["weight"].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert found.priorities.tolist() == [1, 2, 3, 4]
    stacks = replay.sample("stacks", 3).data
    assert stacks["observations"][:, :, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert stacks["action"].tolist() == [20, 30, 40]
    # Five observations, each of them once, for both tables.
    assert num_observations(replay) == 5


def test_only_the_latest_steps_are_kept(replay):
    writer = TrajectoryWriter(replay, num_keep=2)
    for n in range(6):
        writer.append({"observation": observation(n), "action": np.int32(n)})
        writer.flush()
    history = writer.history["observation"]
    assert len(history) == 2
    with pytest.raises(IndexError):
        history[-3]
    writer.create_item("transitions", transition(writer))
    writer.flush()
    assert replay.sample("transitions", 1).data["o_tm1"].tolist() == [[4, -4]]
    assert num_observations(replay) == 2


def test_after_the_end_of_an_episode_nothing_before_it_is_there(replay):
    writer = TrajectoryWriter(replay, num_keep=9)
    writer.append({"observation": observation(0), "action": np.int32(0)})
    writer.append({"observation": observation(1), "action": np.int32(0)})
    writer.create_item("transitions", transition(writer))
    writer.end_episode()
    with pytest.raises(IndexError):
        writer.history["observation"][-1]
    with pytest.raises(IndexError, match="no step of 0"):
        writer.history["observation"][:]
    writer.append({"observation": observation(2), "action": np.int32(1)})
    writer.append({"observation": observation(3), "action": np.int32(1)})
    writer.create_item("transitions", transition(writer))
    writer.close()
    assert replay.sample("transitions", 2).data["o_tm1"][:, 0].tolist() == [0, 2]


def test_a_flush_that_waits_loses_nothing(replay):
    writer = TrajectoryWriter(replay, num_keep=2)
    replay.set_rate_limiter("transitions", Queue(size=1))
    for n in range(3):
        writer.append({"observation": observation(n), "action": np.int32(n)})
        if n > 0:
            writer.create_item("transitions", transition(writer))
    with pytest.raises(NotReady, match="1 items inserted and 1 waiting"):
        writer.flush()
    replay.set_rate_limiter("transitions", MinSize(min_size=1))
    writer.append({"observation": observation(3), "action": np.int32(3)})
    writer.create_item("transitions", transition(writer))
    writer.flush()
    found = replay.sample("transitions", 3).data
    assert found["o_t"][:, 0].tolist() == [1, 2, 3]


def test_a_writer_that_keeps_nothing_is_refused(replay):
    with pytest.raises(ConfigError, match="num_keep >= 1, got 0"):
        TrajectoryWriter(replay, num_keep=0)


def test_steps_out_of_reach_of_every_item_are_not_sent(replay):
    class Line:
        """Replay that notes how many steps it gets."""

        num_steps = 0

        def write(self, message):
            self.num_steps += sum(len(steps.rows) for steps in message.steps.values())
            return replay.write(message)

    line = Line()
    writer = TrajectoryWriter(line, num_keep=2)
    for n in range(100):
        writer.append({"observation": observation(n), "action": np.int32(n)})
        if n % 10 == 5:
            writer.flush()
    writer.create_item("transitions", transition(writer))
    writer.append({"observation": observation(100), "action": np.int32(100)})
    writer.append({"observation": observation(101), "action": np.int32(101)})
    writer.flush()
    assert line.num_steps == 2 * (2 + 2)
    writer.end_episode()
    for n in range(102, 105):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    writer.end_episode()  # of an episode without an item
    for n in range(105, 107):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    writer.create_item("transitions", transition(writer))
    writer.flush()
    assert line.num_steps == 2 * (2 + 2 + 2)
    found = replay.sample("transitions", 2).data
    assert found["o_tm1"][:, 0].tolist() == [98, 105]
    assert found["a_tm1"].tolist() == [99, 106]
    assert found["o_t"][:, 0].tolist() == [99, 106]


def test_a_column_of_which_every_step_is_out_of_reach_is_not_sent():
    frame = Rows(column="frame", row=OBSERVATION, length=2)
    config = TableConfig(
        name="frames",
        signature=frame,
        max_size=10,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
    )
    replay = Replay([config], seed=0)
    writer = TrajectoryWriter(replay, num_keep=2)
    writer.append({"frame": observation(0), "unknown": np.int32(0)})
    writer.end_episode()
    for n in (1, 2):
        writer.append({"frame": observation(n)})
    writer.create_item("frames", writer.history["frame"][:])
    writer.flush()
    assert replay.sample("frames", 1).data[0, :, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (np.zeros(3, np.float32), r"float32 \[3\]"),
        (np.zeros(2), r"float64 \[2\]"),
    ],
)
def test_a_step_unlike_those_before_is_refused_at_once(replay, wrong, got):
    writer = TrajectoryWriter(replay, num_keep=2)
    writer.append({"observation": observation(0), "action": np.int32(0)})
    with pytest.raises(
        ValueError,
        match=rf"'observation': expected rows to be float32 \[2\] as before, got {got}",
    ):
        writer.append({"action": np.int32(7), "observation": wrong})
    writer.append({"observation": observation(1), "action": np.int32(1)})
    writer.create_item("transitions", transition(writer))
    writer.flush()
    found = replay.sample("transitions", 1).data
    assert (found["o_t"][0, 0], found["a_tm1"][0]) == (1, 1)


@pytest.mark.parametrize(
    ("item", "priority", "message"),
    [
        ({}, None, r"'transitions': expected items to have shape \[n, ...\], got no"),
        (
            {"weight": 1.0},
            -1.0,
            "'transitions': expected a finite priority >= 0, got -1",
        ),
        ({"weight": 1.0}, float("nan"), "expected a finite priority >= 0, got nan"),
    ],
)
def test_an_item_that_no_table_takes_is_refused_at_once(
    replay, item, priority, message
):
    writer = TrajectoryWriter(replay, num_keep=2)
    for n in range(2):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    with pytest.raises(ValueError, match=message):
        writer.create_item("transitions", item, priority=priority)
    writer.create_item("transitions", transition(writer), priority=2.0)
    writer.flush()
    assert replay.sample("transitions", 1).priorities.tolist() == [2]


@pytest.mark.parametrize(
    ("leaf", "change", "message"),
    [
        (
            "a_tm1",
            lambda writer: writer.history["observation"][-1],
            "to be steps of 'action', got steps of 'observation'",
        ),
        ("a_tm1", lambda writer: 1, "to be steps of 'action', got an array"),
        ("a_tm1", lambda writer: -1, "to be steps of 'action', got an array"),
        (
            "weight",
            lambda writer: writer.history["action"][-1],
            "to be an array, got steps of 'action'",
        ),
    ],
)
def test_steps_of_another_column_are_refused(replay, leaf, change, message):
    writer = TrajectoryWriter(replay, num_keep=2)
    for n in range(2):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    writer.create_item("transitions", {**transition(writer), leaf: change(writer)})
    with pytest.raises(ValueError, match=rf"\['{leaf}'\] {message}"):
        writer.flush()
    assert replay.info("transitions").size == 0


def test_a_reference_to_a_step_that_is_no_longer_kept_is_refused_at_once(replay):
    writer = TrajectoryWriter(replay, num_keep=2)
    for n in range(2):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    old = transition(writer)
    writer.append({"observation": observation(2), "action": np.int32(2)})
    with pytest.raises(
        ValueError, match=r"'observation': expected steps from 1 on, .* got 0"
    ):
        writer.create_item("transitions", old)


def test_after_a_flush_that_was_refused_items_may_refer_to_its_steps(replay):
    writer = TrajectoryWriter(replay, num_keep=4)
    for n in range(2):
        writer.append({"observation": observation(n), "action": np.int32(n)})
    wrong = transition(writer) | {"o_t": writer.history["observation"][-2:]}
    writer.create_item("transitions", wrong)
    with pytest.raises(ValueError, match=r"\['o_t'\] to be int64 \[1\], got"):
        writer.flush()
    writer.append({"observation": observation(2), "action": np.int32(2)})
    writer.create_item("transitions", transition(writer))
    writer.flush()
    assert replay.sample("transitions", 1).data["o_tm1"][:, 0].tolist() == [1]


def test_what_is_written_may_change_afterwards(replay):
    writer = TrajectoryWriter(replay, num_keep=3)
    seen, weight = np.zeros(2, np.float32), np.zeros((), np.float32)
    for number in range(3):
        seen[:] = number
        writer.append({"observation": seen, "action": np.int32(number)})
    weight[()] = 5.0
    o_t, a_t = writer.history["observation"], writer.history["action"]
    writer.create_item(
        "transitions",
        {"o_tm1": o_t[-2], "a_tm1": a_t[-2], "o_t": o_t[-1], "weight": weight},
    )
    seen[:], weight[()] = 9.0, 9.0
    writer.flush()
    (found,) = [replay.sample("transitions", 1).data]
    assert found["o_tm1"].tolist() == [[1, 1]]
    assert found["o_t"].tolist() == [[2, 2]]
    assert found["weight"].tolist() == [5]
