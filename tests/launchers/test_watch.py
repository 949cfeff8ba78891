"""The contract of nodes: when nothing moves, and what the status says."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from acmelike import Node, Program, deadline, launch, sleep, stop_run
from acmelike.core import now
from acmelike.errors import (
    Deadlock,
    RpcTimeout,
    RunTimeout,
)
from acmelike.launchers.watch import all_wait
from tests.launchers.contract import LIMIT, Buffer, Once, Step, run_to_end
from tests.telemetry import statuses


def make_deadlock():
    program = Program("deadlock")
    inbox = program.add_node(Node(Buffer, 3), label="inbox")
    outbox = program.add_node(Node(Buffer, 0), label="outbox")
    program.add_node(Node(Step, lambda b: b.get(), inbox), label="reader")
    with program.group("writer"):
        for _ in range(11):
            program.add_node(Node(Step, lambda b: b.put(1), outbox))
    return program


DEADLOCK = (
    "every node waits and nothing can wake one; "
    "reader waits for inbox.get: no items; "
    + "; ".join(f"writer/{i} waits for outbox.put: 0 items of 0" for i in range(11))
)


def test_everybody_waiting_is_told_with_reasons_and_numbers(launcher, caplog):
    logger = logging.getLogger("acmelike")
    if launcher == "serial":
        with pytest.raises(Deadlock) as caught:
            run_to_end(make_deadlock(), launcher)
        assert str(caught.value) == DEADLOCK
        return
    warned = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())
            warned.set()

    messages, handler = [], Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        with launch(make_deadlock(), launcher, stall_seconds=0.1):
            assert warned.wait(LIMIT)
    finally:
        logger.removeHandler(handler)
    assert messages == [f"no progress for 0 s: {DEADLOCK}"]


def test_a_wait_that_the_launcher_ends_is_no_deadlock():
    parked = statuses.status(
        "writer/0", phase="waiting", waits_for="outbox.put", reason="full"
    )
    early = statuses.status(
        "writer/1", phase="waiting", waits_for="outbox", can_end_alone=True
    )
    service = statuses.status("outbox", phase="serving")
    assert all_wait([parked, service])
    assert not all_wait([parked, early, service])


@pytest.mark.long
def test_a_program_that_waits_uses_no_cpu():
    with launch(make_deadlock(), "threads") as run:
        while "waiting" not in {s.phase for s in run.status().values()}:
            pass
        before, started = time.process_time(), time.perf_counter()
        with pytest.raises(RunTimeout, match=r"reader: waits for inbox\.get: no items"):
            run.wait(1.5)
        share = (time.process_time() - before) / (time.perf_counter() - started)
    assert share < 0.02


def test_a_timer_is_no_deadlock(launcher):
    def wait(buffer):
        with pytest.raises(RpcTimeout):
            with deadline(0.02):
                buffer.get()
        stop_run("woken by time")

    program = Program("timer")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="waiter")
    program.add_node(Node(Step, lambda b: b.get(), buffer), label="other")
    assert run_to_end(program, launcher) == "woken by time"


def test_serial_time_is_logical_and_the_earliest_wakes_first():
    order = []

    class Sleeper:
        def __init__(self, seconds, log):
            self.seconds, self.log = seconds, log

        def run(self):
            sleep(self.seconds, "its time")
            self.log.note(now())

    class Log:
        def note(self, seconds):
            order.append(seconds)

    program = Program("logical time")
    log = program.add_node(Node(Log), label="log")
    for seconds in (3e6, 1e6, 2e6):
        program.add_node(Node(Sleeper, seconds, log), label=f"sleeper {seconds}")
    assert run_to_end(program, "serial") == "every worker has ended"
    assert order == [1e6, 2e6, 3e6]


# --- Status -------------------------------------------------------------------------


def test_status_has_the_group_of_each_node(launcher):
    program = Program("groups")
    program.add_node(Node(Buffer, 1), label="buffer")
    with program.group("shard"):
        program.add_node(Node(Buffer, 1))
    with launch(program, launcher) as run:
        while len(status := run.status()) < 2:
            pass
        roles = {label: (node.group, node.role) for label, node in status.items()}
    assert roles == {"buffer": (None, "buffer"), "shard/0": ("shard", "shard")}


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_status_says_what_every_node_does_or_waits_for(launcher):
    def wait(buffer):
        buffer.get("me")

    program = Program("status")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="waiter")
    with launch(program, launcher) as run:
        status = {}
        while (
            len(status) < 2
            or status["waiter"].reason != "no items"
            or not status["buffer"].parked
            or status["buffer"].phase == "starting"
        ):
            status = run.status()
        assert status["buffer"].phase == "serving"
        assert status["buffer"].parked == (("waiter", "get", "no items"),)
        assert status["waiter"].phase == "waiting"
        assert status["waiter"].waits_for == "buffer.get"
        assert status["waiter"].reason == "no items"
        assert (
            str(status["waiter"]) == "waiter: waits for buffer.get: no items (0 steps)"
        )
        run.client(buffer).put(1)
        while run.status()["waiter"].num_steps < 1:
            pass
        after = run.status()["waiter"]
        assert after.num_steps == 1
        assert 0 < after.waited_seconds["buffer.get"]
        assert 0 < after.waiting_fraction <= 1


class Slow:
    """A service with a method that lasts until a file is there."""

    def __init__(self, folder):
        self.folder = folder

    def last(self):
        (self.folder / "begun").touch()
        until = time.monotonic() + LIMIT  # So that a fault does not hang the tests.
        while not (self.folder / "enough").exists() and time.monotonic() < until:
            threading.Event().wait(0.005)

    def look(self):
        stop_run("looked")


def test_to_wait_for_a_busy_service_is_waiting(tmp_path):
    """Between processes that is so for every call; here the caller's thread waits."""

    def look(slow):
        while not (tmp_path / "begun").exists():
            sleep(0.005, "the other")
        slow.look()

    program = Program("busy")
    slow = program.add_node(Node(Slow, tmp_path), label="slow")
    program.add_node(Node(Once, lambda slow: slow.last(), slow), label="long")
    program.add_node(Node(Step, look, slow), label="looker")
    with launch(program, "threads") as run:
        while (status := run.status()["looker"]).waits_for != "slow.look":
            pass
        (tmp_path / "enough").touch()
        assert run.wait(LIMIT) == "looked"
        waited = run.status()["looker"].waited_seconds
    assert status.activity == (
        "waits for slow.look: another method of 'slow' is still running"
    )
    assert waited["slow.look"] > 0


def test_steps_and_calls_are_counted(launcher):
    def work(buffer, count=[0]):  # noqa: B006, the worker's memory
        buffer.num_held()
        count[0] += 1
        if count[0] == 10:
            stop_run("ten")

    program = Program("counts")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, work, buffer), label="worker")
    with launch(program, launcher) as run:
        run.wait(LIMIT)
        status = run.status()
    assert status["worker"].num_steps == 9  # the tenth was unwound by stop_run
    assert status["buffer"].num_calls == 10
