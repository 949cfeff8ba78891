"""Groups whose nodes are started and ended while the program runs."""

from __future__ import annotations

import os
import signal
import time

import pytest

from acmelike import Node, Program, RestartPolicy, launch, node_seed
from acmelike.errors import ConfigError, Deadlock, GraphError, NodeFailed, RunError
from tests.launchers.contract import LIMIT, Board, Noter, Once, run_to_end

pytestmark = pytest.mark.long


def make_program(size=1, num_actors=4, restart=None):
    program = Program("elastic")
    board = program.add_node(Node(Board), label="board")
    with program.group("actor", size=size):
        for _ in range(num_actors):
            actor = Node(Noter, board, seed=node_seed(3))
            program.add_node(actor, restart=restart)
    return program, board


def phases(run):
    nodes = run.status().items()
    return {label: node.phase for label, node in nodes if label != "board"}


def wait_for_phases(run, **expected):
    expected = {label: phase for phase, labels in expected.items() for label in labels}
    limit = time.monotonic() + LIMIT
    while phases(run) != expected:
        assert time.monotonic() < limit, phases(run)


def wait_until(is_so):
    limit = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < limit


def test_nodes_are_started_and_ended():
    program, board = make_program()
    with launch(program, "processes") as run:
        notes = run.client(board).first(1)
        assert phases(run).keys() == {"actor/0"}
        assert run.scale("actor", 3) == ["actor/0", "actor/1", "actor/2"]
        notes = run.client(board).first(3)
        assert len({note.process for note in notes}) == 3
        wait_until(lambda: run.status()["actor/2"].num_steps == 1)
        assert run.scale("actor", 1) == ["actor/0"]
        wait_for_phases(run, waiting=["actor/0"], ended=["actor/1", "actor/2"])
        gone = [note.process for note in notes[1:]]
        assert not any(os.path.exists(f"/proc/{process}") for process in gone)
        # A node that is there again is another incarnation of the same one.
        assert run.scale("actor", 2) == ["actor/0", "actor/2"]
        run.client(board).first(4)
        wait_for_phases(run, waiting=["actor/0", "actor/2"], ended=["actor/1"])
        assert run.status()["actor/2"].num_restarts == 0
        wait_until(lambda: run.status()["actor/2"].num_steps == 2)  # Counters go on.
        seeds = [note.seed for note in run.client(board).first(4)]
        assert len(set(seeds)) == 4
        run.stop("seen")
        assert run.wait(LIMIT) == "seen"


def test_the_size_at_the_launch_holds_under_every_launcher(launcher):
    program, board = make_program(size=2)
    if launcher == "serial":
        # All of them wait for the end of the run.
        with pytest.raises(Deadlock, match=r"one; actor/0 .*; actor/2 [^;]*$"):
            run_to_end(program, launcher)
        return
    with launch(program, launcher) as run:
        run.client(board).first(2)
        labels = run.status().keys()
        assert {"actor/0", "actor/2"} <= labels <= {"actor/0", "actor/2", "board"}
        if launcher == "threads":
            assert run.room("actor") == 0
            with pytest.raises(
                ConfigError, match="launch with 'processes', 'hosts' or"
            ):
                run.scale("actor", 3)


def test_a_node_that_was_added_is_restarted_as_others_are():
    program, board = make_program(restart=RestartPolicy(backoff=0.0))
    with launch(program, "processes") as run:
        run.scale("actor", 2)
        run.client(board).first(2)
        os.kill(run.status()["actor/2"].process, signal.SIGKILL)
        process = run.client(board).first(3)[-1].process
        assert run.status()["actor/2"].num_restarts == 1
        run.scale("actor", 1)
        wait_until(lambda: not os.path.exists(f"/proc/{process}"))
        assert run.status()["actor/2"].num_restarts == 1


def test_a_node_that_was_added_and_fails_ends_the_run():
    program, board = make_program()
    with pytest.raises(NodeFailed, match="'actor/2' failed"):
        with launch(program, "processes") as run:
            run.scale("actor", 2)
            run.client(board).first(2)
            os.kill(run.status()["actor/2"].process, signal.SIGKILL)
            run.wait(LIMIT)


def test_a_process_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("acmelike.launchers.processes.launcher._RETIRE_SECONDS", 0.2)
    program, board = make_program(size=2)
    with launch(program, "processes") as run:
        run.client(board).first(2)
        process = run.status()["actor/2"].process
        os.kill(process, signal.SIGSTOP)
        assert run.scale("actor", 1) == ["actor/0"]
        assert phases(run)["actor/2"] == "ended"
        wait_until(lambda: not os.path.exists(f"/proc/{process}"))


def test_what_cannot_be_scaled_is_said():
    program, _ = make_program()
    with launch(program, "processes") as run:
        with pytest.raises(
            ConfigError, match=r"no group 'actors'.*did you mean 'actor'"
        ):
            run.scale("actors", 2)
        with pytest.raises(GraphError, match="'actor' can have 1 to 4 nodes, not 5"):
            run.scale("actor", 5)
    with pytest.raises(RunError, match="the run has ended"):
        run.scale("actor", 2)


def test_a_node_that_is_not_started_has_no_client(launcher):
    program = Program("elastic")
    with program.group("worker", size=1):
        nodes = [program.add_node(Node(Once, lambda: None)) for _ in range(2)]
    with launch(program, launcher) as run:
        assert run.client(nodes[0]) is not None
        words = "node 'worker/1' is not started: its group has a size"
        with pytest.raises(GraphError, match=words):
            run.client(nodes[1])
