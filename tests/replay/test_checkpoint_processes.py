"""Checkpoints of a replay node whose process is killed: what the next run restores."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from acmelike import Node, Program, deadline, launch
from acmelike.errors import NodeFailed, RpcTimeout
from acmelike.replay import Fifo, Replay, SamplesPerInsert, Writer, save_checkpoint
from tests.replay.test_writer import frames, windows, windows_config

LIMIT = 30.0


@pytest.fixture
def make_program(make_config):
    """A program whose replay node restores the newest checkpoint of a folder."""

    def make(folder):
        table = make_config(
            max_size=6,
            sampler=Fifo(),
            replacement=False,
            rate_limiter=SamplesPerInsert(ratio=1, min_size=3, error_buffer=9),
        )
        program = Program("restored")
        tables = [table, windows_config()]
        node = Node(Replay, tables, seed=0, restore=str(folder))
        return program, program.add_node(node, label="replay")

    return make


def fill(replay, make_items):
    """Inserts eight items into a table of six, samples two, and writes shared rows."""
    priorities = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    replay.insert("table", make_items(0, 8), priorities, num_env_steps=20)
    replay.sample("table", 2)
    writer = Writer(replay)
    writer.write([windows((-1, 0), (0, 1))], steps={"frame": frames(10, 11)})


def go_on(replay, make_items):
    """All items, how many the limiter then admits, and the reason it gives."""
    table, shared = replay.sample("table", 6), replay.sample("windows", 2)
    num_admitted = replay.insert("table", make_items(20, 60))
    with pytest.raises(RpcTimeout) as caught, deadline(0.01):
        replay.insert("table", make_items(60, 61))
    return (
        {name: leaf.tolist() for name, leaf in table.data.items()},
        table.priorities.tolist(),
        table.times_sampled.tolist(),
        shared.data["frames"][:, :, 0].tolist(),
        num_admitted,
        str(caught.value),
    )


@pytest.mark.parametrize("when", ["after a checkpoint", "during the next one"])
def test_after_a_kill_the_next_run_goes_on_from_the_checkpoint(
    make_program, make_items, tmp_path, when
):
    program, handle = make_program(tmp_path)
    with pytest.raises(NodeFailed, match=r"'replay' failed in its process: .*SIGKILL"):
        with launch(program, "processes") as run:
            replay = run.client(handle)
            fill(replay, make_items)
            saved, num_env_steps = replay.infos(), replay.num_env_steps()
            save_checkpoint(replay, str(tmp_path))
            expected = go_on(replay, make_items)
            if when == "during the next one":
                number = replay.start_checkpoint(str(tmp_path))
                replay.copy_part(number)
            os.kill(run.status()["replay"].process, signal.SIGKILL)
            run.wait(LIMIT)
    program, handle = make_program(tmp_path)
    with launch(program, "processes") as run:
        replay = run.client(handle)
        assert replay.infos() == saved
        assert replay.num_env_steps() == num_env_steps == 20
        assert go_on(replay, make_items) == expected
        save_checkpoint(replay, str(tmp_path))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["replay-000001", "replay-000002"]
    # The program did what it is to do, so that equality says something.
    assert expected[0]["reward"] == [2, 3, 4, 5, 6, 7]
    assert expected[1] == [4, 1, 5, 9, 2, 6]
    assert expected[2] == [2, 2, 1, 1, 1, 1]
    assert expected[3] == [[0, 10], [10, 11]]
    assert expected[4] == 12
    assert "20 items inserted and 1 waiting, of at most 20 allowed" in expected[5]
