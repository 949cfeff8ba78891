"""The processes of the benchmark of mixed traffic: one server, and its clients.

python -m benchmarks.rpc_traffic_sides server|client

What a process needs comes as a pickle from its standard input. It ends when that does.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import pickle
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from acmelike import batched, concurrent, deadline, put, start, when
from acmelike.errors import RefLost, RpcClosed, RpcTimeout
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import (
    VALUES,
    Address,
    AddressBook,
    Client,
    Credentials,
    Peer,
    Peers,
    Request,
    Server,
    SocketServer,
    listen_near,
    serve_values,
)
from acmelike.rpc.sockets import shared_memory

SERVER = "server"
PUBLISH_SECONDS = 0.25
PARAMETERS = {"torso": 700_000, "head": 300_000}  # float32, 4 MB in all
PAUSE_SECONDS = 0.02  # of a client's thread between two calls, on average
PARKED_SECONDS = 0.05
MAX_SHELF = 8


# Of the service, that have an outcome.
METHODS = (
    *("add", "echo", "make", "take_long", "act", "newer_parameters", "publish"),
    *("hand_in", "take"),
)


class Service:
    """Methods of every kind that a node can have."""

    def __init__(self) -> None:
        self._version, self._parameters = 0, make_parameters(0)
        self._shelf: list[tuple[str, Address, Any]] = []

    def add(self, x: int, y: int) -> int:
        return x + y

    def echo(self, array: Any) -> Any:
        return array

    def make(self, num_bytes: int, value: int) -> Any:
        return np.full(num_bytes, value, np.uint8)

    @concurrent
    def take_long(self) -> None:
        time.sleep(PARKED_SECONDS)

    def _blocks_never(self) -> str:
        return "it never comes"

    @when(_blocks_never)
    def never(self) -> None:
        raise AssertionError

    @batched(max_size=8, timeout=0.005)
    def act(self, observation: Any) -> Any:
        return observation.sum(axis=1)

    def _blocks_newer(self, version: int) -> str | None:
        return None if self._version > version else "there is nothing new"

    @when(_blocks_newer)
    def newer_parameters(self, version: int) -> tuple[int, Any]:
        return self._version, self._parameters

    def publish(self, version: int, parameters: Any) -> None:
        self._version, self._parameters = version, parameters

    def hand_in(self, label: str, address: Address, ref: Any) -> None:
        """Keeps a ref for the next that asks; the oldest ones go."""
        self._shelf = [*self._shelf, (label, address, ref)][-MAX_SHELF:]

    def _blocks_take(self) -> str | None:
        return None if self._shelf else "there is nothing on the shelf"

    @when(_blocks_take)
    def take(self) -> tuple[str, Address, Any]:
        first, *self._shelf = self._shelf
        return first


def make_parameters(version: int) -> dict[str, Any]:
    """Arrays that are full of their version."""
    return {
        name: np.full(size, version, np.float32) for name, size in PARAMETERS.items()
    }


class Task(NamedTuple):
    """What a process is told.

    Attributes:
      credentials: of all of them.
      label: of this one.
      server: where that listens; None in the server itself.
      sizes: of arrays that are sent, in bytes.
      stored_sizes: of values that are stored.
    """

    credentials: Credentials
    label: str
    server: Address | None
    sizes: tuple[int, ...]
    stored_sizes: tuple[int, ...]


class Sockets:
    """One process of the traffic: what it serves, and its peers.

    Args:
      task: of this process.
      service: that others call here, or None.
    """

    def __init__(self, task: Task, service: Service | None = None):
        scheduler = FreeScheduler(threading.Event())
        self.peers = Peers(task.credentials)
        self._addresses: dict[str, Address] = {}
        self._version = 0
        self.server = Server(task.label, scheduler, self)
        self.server.open(service)
        values = Server(VALUES, scheduler, self)
        values.open(serve_values(self.peers.store, task.label))
        listener = listen_near(tempfile.gettempdir(), task.credentials.key)
        sockets = SocketServer(
            {task.label: self.server, VALUES: values},
            scheduler,
            listener,
            lambda error: self.fail(task.label, "sockets", error),
            holder=self.peers.store,
        )
        self.address = sockets.address
        sockets.start()

    def announce(self, label: str, address: Address) -> None:
        """A process listens at this address."""
        self._version += 1
        self._addresses[label] = address
        self.peers.take_book(AddressBook(self._version, dict(self._addresses)))

    def client(self, label: str) -> Client:
        return self.peers.client(Peer(label, None), None)

    def stop(self, reason: str) -> None:
        raise AssertionError(reason)

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """Ends the process with the error."""
        traceback.print_exception(error)
        os._exit(1)


def serve(task: Task, orders: BinaryIO) -> None:
    """The server: publishes parameters, and serves until it is told to end."""
    sockets = Sockets(task, Service())
    print(pickle.dumps(sockets.address).hex(), flush=True)

    def publish() -> None:
        for version in itertools.count(1):
            time.sleep(PUBLISH_SECONDS)
            arguments = version, make_parameters(version)
            request = Request("publish", arguments, {}, None, "learner")
            sockets.server.submit(request).result()

    threading.Thread(target=publish, name="publisher", daemon=True).start()
    while orders.readline():
        # What killed clients had: blocks wait for the next that needs one, and objects
        # for the garbage collection.
        gc.collect()
        shared_memory.pool.trim()
        print("tidy", flush=True)
    status = sockets.server.method_status()
    # A method that was never called is not in it.
    print(json.dumps({n: status[n].num_calls if n in status else 0 for n in METHODS}))


def call(task: Task, orders: BinaryIO) -> None:
    """A client: makes calls of all kinds at the same time."""
    assert task.server is not None
    sockets = Sockets(task)
    sockets.announce(SERVER, task.server)
    caller = Caller(task, sockets)
    for loop in (
        caller.call_small,
        caller.send_arrays,
        caller.park,
        caller.read_parameters,
        caller.store_values,
    ):
        threading.Thread(target=_run, args=(loop,), daemon=True).start()
    orders.read()


def _run(once: Callable[[], None]) -> None:
    chance = random.Random()
    while True:
        try:
            once()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        time.sleep(PAUSE_SECONDS * 2 * chance.random())


class Caller:
    """Calls of each kind, which check what comes back.

    Args:
      task: of its process.
      sockets: likewise.
    """

    def __init__(self, task: Task, sockets: Sockets):
        self._task, self._sockets = task, sockets
        self._server: Any = sockets.client(SERVER)
        self._version = 0
        self._chance = random.Random(task.label)
        # All of them in turn, so that one minute is like another.
        self._sizes = itertools.cycle(self._chance.sample(task.sizes, len(task.sizes)))
        stored = self._chance.sample(task.stored_sizes, len(task.stored_sizes))
        self._stored_sizes = itertools.cycle(stored)

    def call_small(self) -> None:
        assert self._server.add(2, 3) == 5
        row = np.full(16, self._chance.randrange(100), np.float32)
        rows = [start(self._server.act, row) for _ in range(3)]
        assert all(found.result() == row.sum() for found in rows)

    def send_arrays(self) -> None:
        size, value = next(self._sizes), self._chance.randrange(256)
        array = np.full(size, value, np.uint8)
        found = self._chance.choice(
            (
                lambda: self._server.echo(array),
                lambda: self._server.make(size, value),
                lambda: start(self._server.echo, {"a": [array]}).result()["a"][0],
            )
        )()
        assert found.nbytes == size and found[0] == found[-1] == value

    def park(self) -> None:
        """Calls that never proceed: cancelled, or until their deadlines."""
        calls = [start(self._server.never) for _ in range(5)]
        with deadline(PARKED_SECONDS):
            late = [start(self._server.never) for _ in range(5)]
        self._server.take_long()
        for parked in calls:
            parked.cancel()
        for parked, error in [(p, RpcClosed) for p in calls] + [
            (p, RpcTimeout) for p in late
        ]:
            try:
                parked.result()
            except error:
                continue
            raise AssertionError("a call of `never` has returned")

    def read_parameters(self) -> None:
        version, parameters = self._server.newer_parameters(self._version)
        assert version > self._version and parameters.keys() == PARAMETERS.keys()
        for name, array in parameters.items():
            # All of it, as it may still change where it is sent from.
            assert (array == version).all(), f"{name} {version} has {np.unique(array)}"
        self._version = version

    def store_values(self) -> None:
        size, value = next(self._stored_sizes), 7
        stored = put({"array": np.full(size, value, np.uint8)})
        address = self._sockets.address
        self._server.hand_in(self._task.label, address, stored)
        del stored
        label, address, ref = self._server.take()
        self._sockets.announce(label, address)
        try:
            array = ref.get()["array"]
        except RefLost:
            return  # Who had stored it was killed.
        assert array[0] == array[-1] == value


if __name__ == "__main__":
    side = {"server": serve, "client": call}[sys.argv[1]]
    side(pickle.load(sys.stdin.buffer), sys.stdin.buffer)
    sys.stdout.flush()
    os._exit(0)
