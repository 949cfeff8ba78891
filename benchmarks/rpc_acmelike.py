"""acmelike's trials of the benchmark of calls. Who calls is a node, as in a program."""

from __future__ import annotations

import json
import time
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import acmelike as al
from acmelike.core.status import MethodMetrics, NodeMetrics
from acmelike.launchers import LAUNCHERS
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.placement import OneHost
from acmelike.rpc import Call, Request
from acmelike.rpc.sockets.channel import RemoteCall
from benchmarks import rpc_load as load

# As `processes`, but they talk as those of two hosts do: over TCP with TLS.
FAR = "processes, TLS"
LAUNCHERS[FAR] = partial(ProcessNodes, make_machines=partial(OneHost, "127.0.0.1"))
# What a learner publishes: six arrays of 1 MB.
NUM_ARRAYS, ARRAY_SIZE = 6, 250_000
# The first ones go through the socket, and make the memory for those that follow.
NUM_FIRST_PUBLISHED = 3
# How often a call is counted between two looks at the clock, and with how many bytes.
NUM_TOGETHER, NUM_BYTES = 100, 100


class Echo:
    """A service that answers at once, with and without a guard.

    Args:
      num_callers: that call together; see `arrive`.
    """

    def __init__(self, num_callers: int = 1):
        self._num_callers, self._num_arrived = num_callers, 0
        self._counts: list[int] = []

    def echo(self, value: Any) -> Any:
        return value

    def _open(self, value: Any) -> str | None:
        return None

    @al.when(_open)
    def guarded(self, value: Any) -> Any:
        return value

    def take(self, array: np.ndarray) -> int:
        return int(array[-1])

    def handle(self, value: Any) -> Any:
        """Takes a millisecond, as a network on an accelerator may."""
        time.sleep(0.001)
        return value

    @al.batched(max_size=32, timeout=0.001)
    def handle_batched(self, value: Any) -> Any:
        """The same for many calls at once."""
        return self.handle(value)

    def arrive(self) -> None:
        """Says that a caller is there."""
        self._num_arrived += 1

    def _missing(self) -> str | None:
        if self._num_arrived == self._num_callers:
            return None
        return f"{self._num_arrived} of {self._num_callers} callers are there"

    @al.when(_missing)
    def all_arrived(self) -> None:
        """Returns when all callers are there."""

    def report(self, num_calls: int) -> None:
        """Takes the count of a caller; that of the last one ends the run."""
        self._counts.append(num_calls)
        if len(self._counts) == self._num_callers:
            al.stop_run(json.dumps(self._counts))


def _result(work: Callable[..., Any], launcher: str, **arguments: Any) -> Any:
    """What a function returns that gets a service of another node, in a node itself."""
    program = al.Program("rpc")
    service = program.add_node(al.Node(Echo), label="service")
    caller = al.Node(_report, work, service, **arguments)
    program.add_node(caller, label="caller")
    with al.launch(program, launcher) as run:
        return json.loads(run.wait())


def _report(work: Callable[..., Any], service: Echo, **arguments: Any) -> None:
    al.stop_run(json.dumps(work(service, **arguments)))


# --- One caller -----------------------------------------------------------------------


def calls(*, launcher: str, **arguments: Any) -> Any:
    """What is measured of all sides; a trial."""
    return _result(load.measure, launcher, **arguments)


def costs(*, launcher: str, num_calls: int) -> Any:
    """Microseconds of a call, by its kind; a trial."""
    return _result(_costs, launcher, num_calls=num_calls)


def _costs(service: Echo, *, num_calls: int) -> dict[str, float]:
    kinds: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "method of an object": (Echo().echo, load.SMALL),
        "call": (service.echo, load.SMALL),
        "guarded call": (service.guarded, load.SMALL),
        "call with 1 KB of arrays": (service.echo, load.ARRAYS),
        "future": (
            lambda value: al.start(service.echo, value).result(),
            load.SMALL,
        ),
    }
    return {
        kind: load.percentiles(call, value, num_calls)["p50"]
        for kind, (call, value) in kinds.items()
    }


def counting(*, num_calls: int) -> dict[str, float]:
    """Microseconds that each side of a call takes to count it, the median; a trial.

    Only the lines that count are here: those of `Method`, `Channel` and `RemoteCall` at
    the caller, and of `Call`, `Server` and `SocketServer` at the service.
    """
    nobody: Any = None
    target, caller = "service.echo", NodeMetrics(label="caller")
    method = MethodMetrics()
    sent = RemoteCall(nobody, 0, target, None, caller.edges[target])
    taken = Call(nobody, Request("echo", (), {}, None, "caller"))

    def count_at_caller() -> None:
        started = time.perf_counter()
        edge = caller.edges[target]
        edge.num_calls += 1
        edge.num_bytes += NUM_BYTES
        with caller.waiting(sent):
            pass
        sent.count(NUM_BYTES)
        edge.seconds.append(time.perf_counter() - started)

    def count_at_service() -> None:
        taken.arrived, taken.metrics = time.perf_counter(), method
        started = time.perf_counter()
        method.count_one(started - taken.arrived, time.perf_counter() - started)
        taken.count_bytes(NUM_BYTES, NUM_BYTES)

    medians = {}
    for side, count in (("caller", count_at_caller), ("service", count_at_service)):
        seconds = timeit.repeat(count, number=NUM_TOGETHER, repeat=num_calls)
        medians[side] = float(np.median(seconds)) / NUM_TOGETHER * 1e6
    return medians


def pipelined(*, num_calls: int) -> Any:
    """Calls per second, one after the other and all at once; a trial."""
    return _result(_pipelined, "processes", num_calls=num_calls)


def _pipelined(service: Echo, *, num_calls: int) -> dict[str, float]:
    for _ in range(num_calls // 10):
        service.echo(load.SMALL)
    started = time.perf_counter()
    for _ in range(num_calls):
        service.echo(load.SMALL)
    between = time.perf_counter()
    futures = [al.start(service.echo, load.SMALL) for _ in range(num_calls)]
    for future in futures:
        future.result()
    ended = time.perf_counter()
    return {
        "one after the other": num_calls / (between - started),
        "pipelined": num_calls / (ended - between),
    }


# --- Many callers ---------------------------------------------------------------------


def clients(
    *, num_clients: int, seconds: float, method: str = "echo"
) -> dict[str, Any]:
    """How many calls each of many callers makes, in a process each; a trial."""
    program = al.Program("rpc")
    node = al.Node(Echo, num_callers=num_clients)
    service = program.add_node(node, label="service")
    for number in range(num_clients):
        client = al.Node(_client, service, seconds=seconds, method=method)
        program.add_node(client, label=f"client/{number}")
    with al.launch(program, "processes") as run:
        return load.shares(json.loads(run.wait()), seconds)


def _client(service: Echo, *, seconds: float, method: str) -> None:
    call = getattr(service, method)
    call(load.SMALL)
    service.arrive()
    service.all_arrived()
    service.report(load.count_calls(call, seconds))


class Publisher:
    """Publishes arrays to readers that wait for them, as a learner does.

    Args:
      num_readers: that take every version.
      num_published: how often it publishes.
    """

    def __init__(self, num_readers: int, num_published: int):
        self._num_readers, self._num_published = num_readers, num_published
        self._version, self._num_taken = 0, 0
        self._parameters: dict[str, np.ndarray] = {}

    def _has_none(self, newer_than: int) -> str | None:
        if self._version > newer_than:
            return None
        return f"version {newer_than} is the newest"

    @al.when(_has_none)
    def next_parameters(self, newer_than: int) -> tuple[int, dict[str, np.ndarray]]:
        return self._version, self._parameters

    def taken(self) -> None:
        """Says that a reader has a version."""
        self._num_taken += 1

    def run(self) -> None:
        seconds = []
        for version in range(self._num_published + NUM_FIRST_PUBLISHED):
            while self._num_taken < version * self._num_readers:
                al.sleep(0.01, "until all readers have it")
            al.sleep(0.1, "until all readers wait again")
            parameters = {
                f"layer {layer}": np.full(ARRAY_SIZE, version, np.float32)
                for layer in range(NUM_ARRAYS)
            }
            started = time.perf_counter()
            with al.updating(self):
                self._version, self._parameters = version + 1, parameters
            seconds.append(time.perf_counter() - started)
        al.stop_run(json.dumps(seconds[NUM_FIRST_PUBLISHED:]))


def _read(publisher: Publisher) -> None:
    version = 0
    while True:
        version, _ = publisher.next_parameters(version)
        publisher.taken()


def publish(*, launcher: str, num_readers: int, num_published: int) -> dict[str, Any]:
    """How long publishing holds the publisher, in the median; a trial."""
    program = al.Program("rpc")
    node = al.Node(Publisher, num_readers, num_published)
    publisher = program.add_node(node, label="publisher")
    for number in range(num_readers):
        program.add_node(al.Node(_read, publisher), label=f"reader/{number}")
    with al.launch(program, launcher) as run:
        return {"milliseconds": float(np.median(json.loads(run.wait()))) * 1e3}


class Sharer:
    """Puts an array where many readers see it, and tells them.

    Args:
      num_readers: that look at each array.
      num_bytes: of it.
      num_shared: how often it is put.
    """

    def __init__(self, num_readers: int, num_bytes: int, num_shared: int):
        self._num_readers, self._num_bytes = num_readers, num_bytes
        self._num_shared = num_shared
        self._version, self._ref = 0, None
        self._seconds_to_get: list[float] = []

    def _has_none(self, newer_than: int) -> str | None:
        if self._version > newer_than:
            return None
        return f"version {newer_than} is the newest"

    @al.when(_has_none)
    def next_ref(self, newer_than: int) -> tuple[int, Any]:
        return self._version, self._ref

    def taken(self, seconds: float) -> None:
        """Says that a reader has its view, and after how long."""
        self._seconds_to_get.append(seconds)

    def run(self) -> None:
        array, seconds = np.ones(self._num_bytes, np.uint8), []
        for version in range(self._num_shared + NUM_FIRST_PUBLISHED):
            while len(self._seconds_to_get) < version * self._num_readers:
                al.sleep(0.01, "until all readers have it")
            al.sleep(0.1, "until all readers wait again")
            with al.updating(self):
                self._ref = None  # Its memory may be used again.
            started = time.perf_counter()
            ref = al.put(array)
            seconds.append(time.perf_counter() - started)
            with al.updating(self):
                self._version, self._ref = version + 1, ref
            del ref
        while len(self._seconds_to_get) < len(seconds) * self._num_readers:
            al.sleep(0.01, "until all readers have it")
        num_first = NUM_FIRST_PUBLISHED * self._num_readers
        result = {
            "put": self._num_bytes / float(np.median(seconds[NUM_FIRST_PUBLISHED:])),
            "ms to get": 1e3 * max(self._seconds_to_get[num_first:]),
        }
        al.stop_run(json.dumps(result))


def _look(sharer: Sharer) -> None:
    version = 0
    while True:
        version, ref = sharer.next_ref(version)
        started = time.perf_counter()
        view = ref.get()
        seconds = time.perf_counter() - started
        assert view[-1] == 1
        del view, ref
        sharer.taken(seconds)


def share(*, size: str, num_readers: int, num_shared: int) -> dict[str, float]:
    """Bytes per second of a put, and the longest time to a view; a trial."""
    program = al.Program("rpc")
    node = al.Node(Sharer, num_readers, load.SIZES[size], num_shared)
    sharer = program.add_node(node, label="sharer")
    for number in range(num_readers):
        program.add_node(al.Node(_look, sharer), label=f"reader/{number}")
    with al.launch(program, "processes") as run:
        return json.loads(run.wait())
