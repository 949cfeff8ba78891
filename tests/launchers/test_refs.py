"""The contract of nodes: values that are stored once, and travel as refs."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from acmelike import (
    Node,
    Program,
    deadline,
    launch,
    put,
    sleep,
    stop_run,
    updating,
    when,
)
from acmelike.errors import ContractError, NodeFailed
from acmelike.rpc.sockets import shared_memory
from tests.launchers.contract import LIMIT, Once, Step, run_to_end

SIZE = 2**20


def numbers(seed, size=SIZE):
    return np.random.default_rng(seed).integers(256, size=size, dtype=np.uint8)


class Message(NamedTuple):
    name: str
    parts: Any


class Source:
    """Stores values and gives refs of them, which it does not keep."""

    def make(self, seed, size=SIZE):
        return Message("made", {"array": put({"x": numbers(seed, size), "n": seed})})

    def blocks(self):
        """What is stored here."""
        shared_memory.pool.trim()
        return [b.num_bytes for b in shared_memory.pool._blocks if b.num_users]


class Box:
    """Keeps what it is given, until somebody takes it."""

    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)

    def _empty(self):
        return None if self.items else "it is empty"

    @when(_empty)
    def take(self):
        return self.items.pop()


@pytest.mark.parametrize("size", [10, SIZE])
def test_a_ref_goes_on_from_node_to_node(launcher, size):
    def pass_on(source, box):
        for seed in range(5):
            box.add(source.make(seed, size))
        sleep(None, "it has done its work")

    def read(box):
        for _ in range(5):
            message = box.take()
            ref = message.parts["array"]
            value = ref.get()
            np.testing.assert_array_equal(value["x"], numbers(value["n"], size))
            assert ref.get()["x"] is value["x"]
            assert ref.num_bytes >= size
            with pytest.raises(ValueError, match="read-only"):
                value["x"][0] = 1
        stop_run("all were read")

    program = Program("refs")
    source = program.add_node(Node(Source), label="source")
    box = program.add_node(Node(Box), label="box")
    program.add_node(Node(Once, pass_on, source, box), label="middle")
    program.add_node(Node(Once, read, box), label="reader")
    assert run_to_end(program, launcher) == "all were read"


def test_a_value_comes_home_to_who_stored_it(launcher):
    def store_and_read(box):
        for seed in range(3):
            box.add(put(numbers(seed)))
            np.testing.assert_array_equal(box.take().get(), numbers(seed))
        stop_run("it came back")

    program = Program("refs")
    box = program.add_node(Node(Box), label="box")
    program.add_node(Node(Once, store_and_read, box), label="owner")
    assert run_to_end(program, launcher) == "it came back"


def test_a_client_outside_the_run_reads_and_gives_values(launcher):
    program = Program("refs")
    source = program.add_node(Node(Source), label="source")
    box = program.add_node(Node(Box), label="box")
    program.add_node(Node(Step, lambda: sleep(0.01, "it is asked")), label="worker")
    with launch(program, launcher) as run, deadline(LIMIT):
        array = run.client(source).make(3).parts["array"]
        np.testing.assert_array_equal(array.get()["x"], numbers(3))
        client = run.client(box)
        client.add(put(numbers(4)))
        client.add(array)
        np.testing.assert_array_equal(client.take().get()["x"], numbers(3))
        np.testing.assert_array_equal(client.take().get(), numbers(4))
        run.stop()


@pytest.mark.parametrize("where", ["method", "updating"])
def test_no_value_is_asked_for_where_nothing_may_wait(launcher, where):
    class Reader:
        def read(self, ref):
            return ref.get()

        def step(self):
            with updating(self):
                put(3).get()

    class Owner:
        def __init__(self, reader):
            self.reader = reader

        def step(self):
            self.reader.read(put(numbers(1)))

    program = Program("refs")
    if where == "method":
        Reader.step = lambda self: sleep(None, "it has no work")
        reader = program.add_node(Node(Reader), label="reader")
        program.add_node(Node(Owner, reader), label="owner")
    else:
        program.add_node(Node(Reader), label="reader")
    with pytest.raises(NodeFailed, match=r"may not use an edge or wait") as caught:
        run_to_end(program, launcher)
    assert isinstance(caught.value.__cause__, ContractError)


# --- Between processes ----------------------------------------------------------------


class Holder:
    """Keeps a ref, and what it has read of it."""

    def __init__(self, source):
        self._source = source
        self.ref = self.value = None
        self._is_asked = False

    def ask(self):
        self._is_asked = True

    def has_read(self):
        return self.value is not None

    def drop(self):
        self.ref = self.value = None

    def step(self):
        if self._is_asked:
            self._is_asked = False
            self.ref = self._source.make(7).parts["array"]
            self.value = self.ref.get()["x"]
        sleep(0.01, "somebody asks")


@pytest.fixture
def held():
    """A run in processes, a source there, and two nodes that hold a value each."""
    program = Program("refs")
    source = program.add_node(Node(Source), label="source")
    holders = [
        program.add_node(Node(Holder, source), label=f"holder/{i}") for i in range(2)
    ]
    with launch(program, "processes") as run, deadline(LIMIT):
        clients = [run.client(handle) for handle in holders]
        for client in clients:
            client.ask()
            while not client.has_read():
                pass
        yield run, run.client(source), clients


@pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")
def test_a_value_is_freed_when_its_last_ref_is_dropped(held):
    run, source, clients = held
    assert len(source.blocks()) == 2
    for num_left, client in zip([1, 0], clients, strict=True):
        client.drop()
        while len(source.blocks()) > num_left:
            pass
        assert len(source.blocks()) == num_left
    run.stop()
