"""Nodes that are restarted after a failure, where nodes have processes."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading

import pytest

from acmelike import (
    Node,
    Program,
    RestartPolicy,
    idempotent,
    launch,
    node_seed,
    stop_run,
    when,
)
from acmelike.errors import ContractError, GraphError, NodeFailed, ProcessDied
from acmelike.graph import derive_seed
from acmelike.launchers.processes.restarts import Failure, Restarts
from tests.launchers.contract import LIMIT, Board, Noter, run_to_end

AT_ONCE = RestartPolicy(backoff=0.0)

pytestmark = pytest.mark.long  # They start processes.


def make_noter(restart=AT_ONCE, node=Noter):
    program = Program("restarts")
    board = program.add_node(Node(Board), label="board")
    program.add_node(Node(node, board, node_seed(3)), label="actor/0", restart=restart)
    return program, board


def test_a_killed_process_is_started_again_as_another_incarnation(tmp_path, caplog):
    program, board = make_noter()
    with launch(program, "processes", logs=tmp_path) as run:
        board = run.client(board)
        for number in (1, 2, 3):
            process = board.first(number)[-1].process
            # What it has counted is known to the launcher some time later.
            while (before := run.status()["actor/0"]).num_steps < number:
                pass
            os.kill(process, signal.SIGKILL)
        notes = board.first(4)
        after = run.status()["actor/0"]
    assert len({note.process for note in notes}) == 4
    # It does not repeat what it did.
    assert [note.seed for note in notes] == [
        derive_seed(3, "actor/0", i) for i in range(4)
    ]
    assert before.num_restarts == 2 and after.num_restarts == 3
    assert after.num_steps >= before.num_steps >= 3
    assert (tmp_path / "actor-0.log").read_text() == "here\n" * 4
    words = r"node 'actor/0' failed \(process\): it was killed by SIGKILL"
    end = r" \(last output: 'here'\); it is restarted"
    assert len(re.findall(words + end, caplog.text)) == 3
    assert "(3 of 5 within 300 s)" in caplog.text


def test_a_step_that_raises_is_a_failure_too(caplog):
    class Clumsy(Noter):
        def step(self):
            if not self.is_new:
                raise LookupError("nothing there")
            super().step()

    program, board = make_noter(node=Clumsy)
    with launch(program, "processes") as run:
        notes = run.client(board).first(3)
        run.stop("seen")
        assert run.wait(LIMIT) == "seen"
    assert len({note.process for note in notes}) == 3
    assert "node 'actor/0' failed (step): nothing there" in caplog.text
    assert 'raise LookupError("nothing there")' in caplog.text


def test_too_many_failures_end_the_run_with_the_first(caplog):
    class Unlucky(Noter):
        def step(self):
            if not self.is_new:
                raise LookupError(f"with seed {self.seed}")
            super().step()

    policy = RestartPolicy(max_restarts=2, backoff=0.0)
    program, _ = make_noter(policy, Unlucky)
    first = f"with seed {derive_seed(3, 'actor/0')}"
    with pytest.raises(NodeFailed, match=f"'actor/0' failed in its step.*{first}"):
        run_to_end(program, "processes")
    assert "that is too often (3 times)" in caplog.text


@pytest.mark.parametrize("where", ["constructor", "step"])
def test_a_node_that_never_worked_is_not_started_again(where):
    class Broken(Noter):
        def __init__(self, board, seed):
            super().__init__(board, seed)
            if where == "constructor":
                raise ValueError("boom")

        def step(self):
            raise ValueError("boom")

    program, _ = make_noter(node=Broken)
    with pytest.raises(NodeFailed, match=f"'actor/0' failed in its {where}.*boom"):
        run_to_end(program, "processes")


def test_without_a_policy_the_first_failure_ends_the_run():
    program, board = make_noter(restart=None)
    with pytest.raises(NodeFailed, match=r"'actor/0'.*killed by SIGKILL") as caught:
        with launch(program, "processes") as run:
            os.kill(run.client(board).first(1)[0].process, signal.SIGKILL)
            run.wait(LIMIT)
    assert isinstance(caught.value.__cause__, ProcessDied)


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_in_one_process_a_failure_ends_the_run(launcher):
    class Clumsy(Noter):
        def step(self):
            if not self.is_new:
                raise LookupError("nothing there")
            super().step()

    program, _ = make_noter(node=Clumsy)
    with pytest.raises(NodeFailed, match=r"'actor/0' failed in its step.*nothing"):
        run_to_end(program, launcher)


class Counter:
    """A service that loses its count with its process."""

    def __init__(self):
        self.count = 0

    @idempotent
    def process(self):
        return os.getpid()

    def _never(self):
        return "nothing ever comes"

    @idempotent
    @when(_never)
    def wait(self):
        raise AssertionError


def test_callers_of_a_node_that_is_started_again_find_it():
    class Caller:
        def __init__(self, board, counter):
            self.board, self.counter = board, counter

        def step(self):
            self.board.note(self.counter.process())
            self.counter.wait()

    program = Program("callers")
    board = program.add_node(Node(Board), label="board")
    counter = program.add_node(Node(Counter), label="counter", restart=AT_ONCE)
    program.add_node(Node(Caller, board, counter), label="caller")
    with launch(program, "processes") as run:
        first = run.client(board).first(1)[0]
        outside = run.client(counter)
        assert outside.process() == first
        os.kill(first, signal.SIGKILL)
        assert outside.process() != first
        # The call that was parked there is parked again: at the new one.
        watched = threading.Event()
        while not watched.wait(0.01):
            status = run.status()["counter"]
            if status.num_restarts == 1 and status.parked:
                break
        assert status.parked[0].caller == "caller"


def test_a_worker_that_has_done_its_work_is_not_started_again(caplog):
    def work(board):
        board.note(os.getpid())

    class Ender:
        def __init__(self, board):
            self.board = board

        def step(self):
            self.board.first(2)
            stop_run("it was noted")

    program = Program("work")
    board = program.add_node(Node(Board), label="board")
    program.add_node(Node(work, board), label="worker", restart=AT_ONCE)
    program.add_node(Node(Ender, board), label="ender")
    caplog.set_level(logging.WARNING, "acmelike")
    with launch(program, "processes") as run:
        process = run.client(board).first(1)[0]
        seen = threading.Event()
        while run.status()["worker"].phase != "serving":
            seen.wait(0.01)
        os.kill(process, signal.SIGKILL)
        while "its work was done" not in caplog.text:
            seen.wait(0.01)
        run.client(board).note("by hand")
        assert run.wait(LIMIT) == "it was noted"


def test_a_run_that_ends_meanwhile_starts_nothing():
    program, board = make_noter(RestartPolicy(backoff=30.0))
    with launch(program, "processes") as run:
        process = run.client(board).first(1)[0].process
        assert "actor/0" in run.status()
        os.kill(process, signal.SIGKILL)
        seen = threading.Event()
        while run.status()["actor/0"].phase != "restarting":
            seen.wait(0.01)
    assert run.status()["actor/0"].num_restarts == 0


def test_nodes_of_one_process_have_one_policy():
    program = Program("mixed")
    with program.colocate("both"):
        program.add_node(Node(Board), label="one", restart=AT_ONCE)
        program.add_node(Node(Board), label="two")
    with pytest.raises(GraphError, match="'one' and 'two' share process 'both'"):
        program.validate()


# --- The decision by itself ---------------------------------------------------------


def failure(where="process", error=None, has_worked=True):
    error = error or ProcessDied("it was killed")
    return Failure(label="x", where=where, error=error, has_worked=has_worked)


def test_after_very_many_failures_the_wait_is_the_longest():
    restarts = Restarts(RestartPolicy(max_restarts=5_000, window=1e9, backoff=1.0))
    waits = [restarts.next_start(failure(), 0.0) for _ in range(2_000)]
    assert len(set(waits[100:])) == 1


def test_the_time_to_the_next_start_doubles():
    restarts = Restarts(RestartPolicy(max_restarts=9, window=1000.0, backoff=2.0))
    waits = [restarts.next_start(failure(), 0.0) for _ in range(10)]
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0, None]


def test_failures_count_only_within_the_window():
    restarts = Restarts(RestartPolicy(max_restarts=1, window=10.0, backoff=1.0))
    assert restarts.next_start(failure(), 0.0) == 1.0
    assert restarts.next_start(failure(), 11.0) == 12.0
    first = restarts.cause
    assert restarts.next_start(failure(), 20.0) is None
    assert restarts.cause is first and restarts.num_failures == 2


def test_a_breach_of_the_contract_ends_the_run():
    restarts = Restarts(AT_ONCE)
    breach = failure("step", ContractError("a call in a method"))
    assert restarts.next_start(breach, 0.0) is None


def test_a_mistake_is_one_before_the_first_step_of_all():
    restarts = Restarts(AT_ONCE)
    killed = failure(has_worked=False)
    assert restarts.next_start(killed, 0.0) is not None
    early = failure("constructor", OSError("no file"), has_worked=False)
    assert Restarts(AT_ONCE).next_start(early, 0.0) is None
    assert restarts.next_start(failure(), 1.0) is not None
    # It has worked before, so that this may pass.
    assert restarts.next_start(early, 2.0) is not None
