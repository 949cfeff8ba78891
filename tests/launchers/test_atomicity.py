"""The contract of nodes: methods are atomic, and calls of services are leaves."""

from __future__ import annotations

import threading

import pytest

from acmelike import Node, Program, sleep, stop_run, updating, when
from acmelike.core import concurrent
from acmelike.errors import (
    ContractError,
    NodeFailed,
)
from tests.launchers.contract import Buffer, Once, Step, run_to_end


class Room:
    """Notices when a second one comes in while the first is still there."""

    def __init__(self):
        self.num_inside, self.num_visits, self.was_crowded = 0, 0, False
        self.bell = threading.Event()

    def enter(self):
        self._stay()
        self.num_visits += 1

    def _stay(self):
        self.num_inside += 1
        if self.num_inside > 1:
            self.was_crowded = True
            self.bell.set()
        self.bell.wait(0.1)  # long enough for the other threads to come in too
        self.num_inside -= 1

    def step(self):
        with updating(self):
            self._stay()
        sleep(0.01, "visitors")

    def _awaited(self, num):
        return None if self.num_visits >= num else f"{self.num_visits} of {num}"

    @when(_awaited)
    def after(self, num):
        return self.was_crowded


def test_methods_and_updating_never_overlap(launcher):
    program = Program("room")
    room = program.add_node(Node(Room), label="room")
    with program.group("visitor"):
        for _ in range(2):
            program.add_node(Node(Once, lambda r: r.enter(), room))
    watch = Node(Step, lambda r: stop_run(f"crowded: {r.after(2)}"), room)
    program.add_node(watch, label="watch")
    assert run_to_end(program, launcher) == "crowded: False"


class Snapshot:
    """Has a method that needs no lock."""

    def _never(self):
        return "never"

    @when(_never)
    def wait(self):
        raise AssertionError

    @concurrent
    def read(self):
        return 42


def test_a_concurrent_method_is_served_beside_a_step_that_updates(launcher):
    class Holder(Snapshot):
        def __init__(self, me):
            self.me = me

        def step(self):
            assert self.me.read() == 42
            stop_run("read")

    program = Program("snapshot")
    snapshot = program.promise(Holder)
    program.add_node(Node(Holder, snapshot), label="holder", fulfils=snapshot)
    assert run_to_end(program, launcher) == "read"


# --- Calls are leaves ---------------------------------------------------------------


class Relay:
    """A service that breaks the rule: its method uses an edge."""

    def __init__(self, buffer):
        self.buffer = buffer

    def relay(self):
        return self.buffer.num_held()

    def nap(self):
        sleep(1.0, "a nap")


@pytest.mark.parametrize("method", ["relay", "nap"])
def test_a_service_method_may_not_use_an_edge_or_wait(launcher, method):
    def call(relay, method):
        getattr(relay, method)()

    program = Program("relay")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    relay = program.add_node(Node(Relay, buffer), label="relay")
    program.add_node(Node(Step, call, relay, method), label="caller")
    with pytest.raises(NodeFailed, match=f"caller.*relay.{method} may not") as caught:
        run_to_end(program, launcher)
    assert isinstance(caught.value.__cause__, ContractError)


def test_updating_may_not_contain_a_call(launcher):
    class Updater:
        def __init__(self, buffer):
            self.buffer = buffer

        def step(self):
            with updating(self):
                self.buffer.num_held()

    program = Program("updating")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Updater, buffer), label="updater")
    with pytest.raises(NodeFailed, match=r"updater.*updating\(updater\) may not"):
        run_to_end(program, launcher)


def test_a_constructor_may_not_use_an_edge(launcher):
    class Early:
        def __init__(self, buffer):
            buffer.num_held()

    program = Program("constructor")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Early, buffer), label="early")
    with pytest.raises(NodeFailed, match="'early' failed in its constructor"):
        run_to_end(program, launcher)
