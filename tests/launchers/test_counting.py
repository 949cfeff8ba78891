"""The contract of nodes: what is counted of calls, at both of their ends."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from acmelike import Node, Program, batched, concurrent, launch, start, stop_run, when
from tests.launchers.contract import LIMIT, Step

WORK_SECONDS = 0.01


class Shop:
    """Has a method of each kind."""

    def __init__(self):
        self.is_open = False

    def work(self, data):
        threading.Event().wait(WORK_SECONDS)
        return data

    def open(self):
        self.is_open = True

    def _closed(self):
        return None if self.is_open else "it is closed"

    @when(_closed)
    def enter(self):
        pass

    @concurrent
    def look(self):
        threading.Event().wait(WORK_SECONDS)

    @batched(max_size=4, timeout=1000.0)
    def buy(self, number):
        threading.Event().wait(WORK_SECONDS)
        return number

    def fail(self):
        raise KeyError

    def unused(self):
        raise AssertionError


def use_all(shop):
    entering = start(shop.enter)
    for _ in range(3):
        shop.work(np.zeros(100))
    shop.open()
    entering.result()
    looks = [start(shop.look) for _ in range(5)]
    for call in [*looks, *(start(shop.buy, number) for number in range(8))]:
        call.result()
    with pytest.raises(KeyError):
        shop.fail()
    stop_run("done")


def test_both_ends_count_the_calls_of_each_method(launcher):
    program = Program("shop")
    shop = program.add_node(Node(Shop), label="shop")
    program.add_node(Node(Step, use_all, shop), label="user")
    with launch(program, launcher) as run:
        assert run.wait(LIMIT) == "done"
        status = pickle.loads(pickle.dumps(run.status()))

    methods, edges = status["shop"].methods, status["user"].edges
    counts = {"enter": 1, "work": 3, "open": 1, "look": 5, "buy": 8, "fail": 1}
    assert {name: method.num_calls for name, method in methods.items()} == counts
    assert {f"shop.{name}": number for name, number in counts.items()} == {
        target: edge.num_calls for target, edge in edges.items()
    }
    assert status["shop"].num_calls == sum(counts.values())
    assert {name: m.num_runs for name, m in methods.items()} == {**counts, "buy": 2}

    # The visitor waits while others work; a batch is one run.
    assert methods["enter"].queue_seconds >= 3 * WORK_SECONDS
    for name, num_runs in (("work", 3), ("look", 5), ("buy", 2)):
        method = methods[name]
        assert method.run_seconds >= num_runs * WORK_SECONDS
        assert WORK_SECONDS <= method.run_p50_seconds <= method.run_p99_seconds
    for method in methods.values():
        assert 0 <= method.queue_p50_seconds <= method.queue_p99_seconds
        assert method.queue_p99_seconds <= method.queue_seconds
    working = edges["shop.work"]
    assert WORK_SECONDS <= working.p50_seconds <= working.p99_seconds
    assert edges["shop.look"].p99_seconds is None  # It was only started.

    for name, method in methods.items():
        num_bytes = method.num_bytes_in + method.num_bytes_out
        assert num_bytes == edges[f"shop.{name}"].num_bytes
        assert bool(num_bytes) == (launcher not in ("serial", "threads"))
    if working.num_bytes:
        assert methods["work"].num_bytes_in >= 3 * 800
        assert methods["work"].num_bytes_out >= 3 * 800
