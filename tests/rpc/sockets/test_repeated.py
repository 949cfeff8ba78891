"""One copy for many readers: outcomes that a service returns again and again."""

from __future__ import annotations

import gc
import sys
import weakref
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from acmelike import start
from acmelike.rpc import Channel
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES
from tests.rpc.sockets.serving import NEAR, client_of, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")

SIZE = 2 * LARGE_BYTES


class Versioned(NamedTuple):
    version: int
    parameters: Any


class Learner:
    """Publishes arrays, and lets a test change what it returns."""

    def __init__(self):
        self.publish(0)

    def publish(self, version):
        kernel = np.full(SIZE, version, np.uint8)
        self.published = Versioned(version, {"kernel": kernel, "bias": np.zeros(3)})

    def parameters(self):
        return self.published

    def make(self, number):
        return np.full(SIZE, number, np.uint8)

    def shard(self, index):
        if not hasattr(self, "shards"):
            self.shards = [np.full(SIZE, number, np.uint8) for number in range(3)]
        return self.shards[index]

    def rename(self, old, new):
        values = self.published.parameters
        values[new] = values.pop(old)

    def part(self):
        """A read-only view of memory that is written."""
        if not hasattr(self, "memory"):
            self.memory = np.zeros(SIZE + 1, np.uint8)
            self.view = self.memory[1:]
            self.view.flags.writeable = False
        self.memory += 1
        return self.view


@pytest.fixture
def copies(monkeypatch):
    """The sizes that were copied into shared memory."""
    sizes, write = [], shared_memory.write

    def counting(views, memory):
        sizes.append(sum(view.nbytes for view in views))
        write(views, memory)

    monkeypatch.setattr(shared_memory, "write", counting)
    return sizes


@contextmanager
def readers(served, num_readers):
    """Clients with connections of their own."""
    channels = [Channel(served.address, NEAR, lambda: None) for _ in range(num_readers)]
    try:
        yield [client_of(channel) for channel in channels]
    finally:
        for channel in channels:
            channel.close("the test is over")
            channel.dispose()


@pytest.fixture
def served(tmp_path):
    learner = Learner()
    with serving(learner, tmp_path) as served:
        yield served
        del learner.published
        vars(learner).pop("shards", None)


def warm_up(served, clients):
    """Lets all readers have the memory: a size has to come again, and to be mapped."""
    for version in range(6):
        served.client.publish(version)
        for client in clients:
            for _ in range(2):
                client.parameters()


def test_a_version_is_copied_once_for_all_its_readers(served, copies):
    with readers(served, 8) as clients:
        warm_up(served, clients)
        copies.clear()
        for version in (10, 11, 12, 13):
            served.client.publish(version)
            for _ in range(3):
                for client in clients:
                    found = client.parameters()
                    assert found.version == version
                    assert found.parameters["kernel"].min() == version
                    assert found.parameters["kernel"].max() == version
                    assert found.parameters["bias"].tolist() == [0, 0, 0]
        assert copies == [SIZE] * 4


def test_who_keeps_a_version_keeps_its_bytes(served):
    with readers(served, 3) as clients:
        warm_up(served, clients)
        kept = []
        for version in range(20):
            served.client.publish(version)
            for client in clients:
                kept.append((version, client.parameters().parameters["kernel"]))
            kept = kept[-20:] if version % 5 else kept[::2]
            for expected, kernel in kept:
                assert (kernel == expected).all()


def test_a_reader_that_closes_its_connection_keeps_its_bytes(served, copies):
    with readers(served, 3) as clients:
        warm_up(served, clients)
        served.client.publish(7)
        with readers(served, 1) as others:
            for _ in range(4):
                kept = None
                kept = others[0].parameters().parameters["kernel"]
        held = []  # So that all memory is needed.
        for version in range(10, 16):
            served.client.publish(version)
            for client in clients:
                held.append(client.parameters())
                assert held[-1].parameters["kernel"].min() == version
        held.clear()
        assert (kept == 7).all()
        copies.clear()
        served.client.publish(20)
        for client in clients:
            assert client.parameters().version == 20
        assert len(copies) == 1


def test_a_reader_that_is_slow_to_receive_a_version_gets_that_version(served):
    """A new reader has no memory of the block: its bytes go through the socket."""
    with readers(served, 3) as clients, readers(served, 1) as slow:
        warm_up(served, clients)
        served.client.publish(7)
        assert clients[0].parameters().version == 7
        found = start(slow[0].parameters)
        for version in range(8, 16):
            for client in clients:
                assert client.parameters().version == version - 1
            served.client.publish(version)
        assert found.result().version == 7
        assert (found.result().parameters["kernel"] == 7).all()


def test_what_has_changed_is_sent_as_it_is(served, copies):
    with readers(served, 2) as clients:
        warm_up(served, clients)
        served.client.publish(3)
        for _ in range(3):
            clients[0].parameters()
        served.client.rename("bias", "offset")
        assert set(clients[1].parameters().parameters) == {"kernel", "offset"}
        for number in range(1, 6):
            for client in clients:
                assert client.part()[0] == 2 * number - (client is clients[0])


def test_what_is_new_each_time_is_kept_by_nobody(served):
    with readers(served, 2) as clients:
        for number in range(20):
            for client in clients:
                assert client.make(number)[-1] == number
        while served.sockets.outcomes._by_method:
            gc.collect()  # The server's thread lets go of it after its answer.


def test_the_payload_of_an_outcome_before_the_last_is_not_kept(served):
    """Its service keeps all three arrays, of which only the last one counts."""
    with readers(served, 2) as clients:
        payloads = []
        for number in range(12):
            for client in clients:
                assert client.shard(number % 3)[-1] == number % 3
            payloads += [
                weakref.ref(each.payload)
                for each in served.sockets.outcomes._by_method.values()
            ]
        gc.collect()
        assert payloads
        kept = {id(found()) for found in payloads if found() is not None}
        assert len(kept) <= 1


def test_a_version_that_nobody_has_any_more_is_not_kept(served):
    with readers(served, 2) as clients:
        warm_up(served, clients)
        for version in (10, 11):
            served.client.publish(version)
            for client in clients:
                client.parameters()
        assert len(served.sockets.outcomes._by_method) == 1
        served.client.publish(12)
        while served.sockets.outcomes._by_method:
            gc.collect()
