"""What is measured of calls, by the same code whoever makes them.

Needs NumPy only, as peers run it too.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

# Arrays that are sent one way, and how many of them are timed.
SIZES = {"1 MB": 10**6, "10 MB": 10**7, "100 MB": 10**8, "1 GB": 10**9}
NUM_TRANSFERS = {"1 MB": 60, "10 MB": 30, "100 MB": 7, "1 GB": 3}
# Of each size, before the clock starts.
NUM_FIRST_TRANSFERS = 2
SMALL = 1
# What goes with a step of a few environments: 1 KB in four arrays.
ARRAYS = {name: np.ones(64, np.float32) for name in ("a", "b", "c", "d")}


class Calls(Protocol):
    """The methods of a service in another process."""

    def echo(self, value: Any) -> Any:
        """Returns the value."""

    def take(self, array: np.ndarray) -> int:
        """Returns the last byte of an array, which the service then has."""


def measure(calls: Calls, *, num_calls: int, sizes: list[str]) -> dict[str, Any]:
    """How long calls take, and the rate of arrays one way.

    Returns:
      "small call" and "arrays" in microseconds, each as `percentiles` says; "rates" in
      bytes per second by size, each by its median transfer.
    """
    return {
        "small call": percentiles(calls.echo, SMALL, num_calls),
        "arrays": percentiles(calls.echo, ARRAYS, num_calls),
        "rates": transfer_rates(calls.take, sizes),
    }


def percentiles(
    call: Callable[[Any], Any], value: Any, num_calls: int
) -> dict[str, float]:
    """Microseconds of a call, once it has been made a few times.

    Returns:
      "p50" and "p99" of so many calls, and "processor", which is the processor time of
      this thread for one call, in the mean.
    """
    for _ in range(num_calls // 10):
        call(value)
    seconds, before = [], time.thread_time()
    for _ in range(num_calls):
        started = time.perf_counter()
        call(value)
        seconds.append(time.perf_counter() - started)
    used = (time.thread_time() - before) / num_calls * 1e6
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e6
    return {"p50": float(p50), "p99": float(p99), "processor": used}


def transfer_rates(
    take: Callable[[np.ndarray], int], sizes: list[str]
) -> dict[str, float]:
    """Bytes per second of arrays of these sizes, sent one after the other."""
    rates = {}
    for name in sizes:
        array = np.ones(SIZES[name], np.uint8)
        seconds = []
        for _ in range(NUM_FIRST_TRANSFERS + NUM_TRANSFERS[name]):
            started = time.perf_counter()
            last = take(array)
            seconds.append(time.perf_counter() - started)
            assert last == 1
        rates[name] = array.nbytes / float(np.median(seconds[NUM_FIRST_TRANSFERS:]))
    return rates


def count_calls(call: Callable[[Any], Any], seconds: float) -> int:
    """How many small calls, one after the other, begin within a time."""
    num_calls, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        call(SMALL)
        num_calls += 1
    return num_calls


def shares(counts: list[int], seconds: float) -> dict[str, Any]:
    """What follows from how many calls each of many clients made."""
    total = sum(counts)
    return {
        "calls per second": total / seconds,
        "least share": min(counts) * len(counts) / total,
        "counts": counts,
    }


# --- Processes of peers and of limits -------------------------------------------------


@contextmanager
def process(main: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A new process that calls `main(pipe, *arguments)`; the other end of the pipe.

    It is to return when the pipe is closed here, and is killed if it does not.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    started = context.Process(target=main, args=(there, *arguments), daemon=True)
    started.start()
    there.close()  # Or neither side would see that the other has gone.
    try:
        yield here
    finally:
        here.close()
        started.join(5)
        started.kill()
        started.join()


def wait_for_end(pipe: Connection) -> None:
    """Returns when the other end of a pipe is closed."""
    try:
        pipe.recv()
    except EOFError:
        pass


def exit_at_end(pipe: Connection) -> None:
    """Ends this process when the other end of a pipe is closed, whatever it does."""

    def watch() -> None:
        wait_for_end(pipe)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


Connect = Callable[[Any], AbstractContextManager[Calls]]


def counts_of_clients(
    connect: Connect, address: Any, *, num_clients: int, seconds: float
) -> list[int]:
    """How many calls each of many clients makes, in a process each, all at once."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(process(_client, connect, address, seconds))
            for _ in range(num_clients)
        ]
        for client in clients:
            client.recv()
        for client in clients:
            client.send("go")
        return [client.recv() for client in clients]


def _client(pipe: Connection, connect: Connect, address: Any, seconds: float) -> None:
    with connect(address) as calls:
        calls.echo(SMALL)
        pipe.send("ready")
        pipe.recv()
        pipe.send(count_calls(calls.echo, seconds))
        wait_for_end(pipe)


def served(
    serve: Callable[..., None],
    connect: Connect,
    arguments: Mapping[str, Any],
    *options: Any,
) -> dict[str, Any]:
    """What `measure` finds of a service in another process.

    Args:
      serve: the main function of that process: sends its address, and serves.
      connect: opens a connection to an address.
      arguments: of `measure`.
      options: of `serve`.
    """
    with process(serve, *options) as server, connect(server.recv()) as calls:
        return measure(calls, **arguments)
