"""The contract of nodes: starting, ending, and what crosses an edge."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from acmelike import Node, Program, deadline, launch, start, stop_run, when
from acmelike.core import concurrent
from acmelike.errors import (
    RpcClosed,
    RpcTimeout,
)
from tests.launchers.contract import Buffer, Once, Step, run_to_end


class Peer:
    """One of two that know each other."""

    def __init__(self, other, name):
        self.other, self.name, self.heard = other, name, None

    def hear(self, name):
        self.heard = name

    def _silence(self):
        return None if self.heard else "nothing heard"

    @when(_silence)
    def told(self):
        return self.heard

    def run(self):
        self.other.hear(self.name)


def test_nodes_in_a_cycle_of_promises_start(launcher):
    program = Program("cycle")
    first = program.promise(Peer)
    second = program.add_node(Node(Peer, first, "second"), label="second")
    program.add_node(Node(Peer, second, "first"), label="first", fulfils=first)

    def ask(first, second):
        stop_run(f"{first.told()} {second.told()}")

    program.add_node(Node(Step, ask, first, second), label="asker")
    assert run_to_end(program, launcher) == "second first"


class Slow(Buffer):
    """Takes its time to start: until a file is there."""

    def __init__(self, file):
        while file is not None and not file.exists():
            threading.Event().wait(0.005)
        super().__init__(1)


class SlowWithAside(Slow):
    """Has a method that returns when another one was called."""

    def __init__(self, file):
        super().__init__(file)
        self.was_called = threading.Event()

    @concurrent
    def wait_aside(self):
        return self.was_called.wait(30.0)

    def call(self):
        self.was_called.set()


def test_a_concurrent_call_that_came_too_early_holds_up_no_other(tmp_path):
    program, file = Program("early"), tmp_path / "go"
    slow = program.add_node(Node(SlowWithAside, file), label="slow")

    def ask(slow):
        aside = start(slow.wait_aside)
        file.touch()
        slow.call()
        stop_run(f"it returned {aside.result()}")

    program.add_node(Node(Step, ask, slow), label="asker")
    assert run_to_end(program, "threads") == "it returned True"


def test_a_call_waits_for_a_node_that_is_still_starting(launcher, tmp_path):
    def count(buffer, file):
        call = start(buffer.num_held)
        assert not call.done()
        file.touch()
        stop_run(f"holds {call.result()}")

    file = tmp_path / "called"
    program = Program("slow start")
    # Under serial the caller comes first in label order, and nobody needs to wait.
    gate = None if launcher == "serial" else file
    buffer = program.add_node(Node(Slow, gate), label="slow")
    program.add_node(Node(Step, count, buffer, file), label="caller")
    assert run_to_end(program, launcher) == "holds 0"


def test_handles_become_clients_in_containers_dataclasses_and_partials(launcher):
    import functools
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Edges:
        buffers: dict[str, list[Buffer]]

    def count(edges, more):
        held = [b.num_held() for b in edges.buffers["all"]] + [more()]
        stop_run(str(held))

    program = Program("nested")
    one = program.add_node(Node(Buffer, 1), label="one")
    two = program.add_node(Node(Buffer, 1), label="two")
    more = functools.partial(lambda b: b.num_held() + 5, two)
    edges = Edges({"all": [one, two]})
    program.add_node(Node(Step, count, edges, more), label="counter")
    assert sorted(program.edges()) == [("counter", "one"), ("counter", "two")]
    assert run_to_end(program, launcher) == "[0, 0, 5]"


def test_a_run_whose_workers_all_returned_is_over(launcher):
    program = Program("errands")
    program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Once, lambda: None), label="a")
    program.add_node(Node(Once, lambda: None), label="b")
    assert run_to_end(program, launcher) == "every worker has ended"


def test_services_are_closed_when_the_run_ends(launcher, tmp_path):
    class Closing(Buffer):
        def __init__(self, path):
            super().__init__(1)
            self.path = path

        def close(self):
            self.path.touch()

    program = Program("closing")
    buffer = program.add_node(Node(Closing, tmp_path / "closed"), label="buffer")
    program.add_node(Node(Step, lambda b: stop_run("done"), buffer), label="worker")
    run_to_end(program, launcher)
    assert (tmp_path / "closed").exists()


def test_a_client_from_outside_calls_and_is_closed_with_the_run(launcher):
    program = Program("outside")
    buffer = program.add_node(Node(Buffer, 2), label="buffer")
    with launch(program, launcher) as run:
        client = run.client(buffer)
        client.put(7)
        assert client.num_held() == 1
        assert client.get() == 7
        with pytest.raises(RpcTimeout, match="no items"), deadline(0.01):
            client.get()
    with pytest.raises(RpcClosed, match="with block was left"):
        client.num_held()


# --- What crosses an edge -----------------------------------------------------------


class Keeper:
    """Keeps an array and shows it."""

    def __init__(self):
        self.array, self.ring = np.zeros(3), np.zeros(10)

    def keep(self, array):
        self.array = array

    def show(self):
        return {"array": self.array, "part": self.ring[2:5]}

    def try_to_write(self):
        try:
            self.array[0] = 1.0
        except ValueError as error:
            return str(error)

    def write_ring(self):
        self.ring[:] = 1.0


def test_arrays_that_crossed_an_edge_cannot_be_written(launcher):
    def exchange(keeper):
        mine, base = np.zeros(3), np.zeros((2, 3))
        keeper.keep(mine)
        assert "read-only" in keeper.try_to_write()
        with pytest.raises(ValueError, match="read-only"):
            mine[0] = 1.0
        keeper.keep(base[0])
        base[:] = 5.0
        shown = keeper.show()
        assert shown["array"].tolist() == [0.0, 0.0, 0.0]
        for array in shown.values():
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
        keeper.write_ring()
        assert shown["part"].tolist() == [0.0, 0.0, 0.0]
        stop_run("immutable")

    program = Program("arrays")
    keeper = program.add_node(Node(Keeper), label="keeper")
    program.add_node(Node(Step, exchange, keeper), label="worker")
    assert run_to_end(program, launcher) == "immutable"
