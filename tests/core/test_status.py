"""What a node's counters say while it steps and waits."""

import io
import sys
import threading
from typing import NamedTuple

import pytest

from acmelike.core import set_status, status
from acmelike.core.leaf import leaf
from acmelike.core.runtime import set_context
from acmelike.core.status import EdgeMetrics, MethodMetrics, NodeMetrics


class Awaited(NamedTuple):
    target: str = "replay.sample"
    reason: str = "too few"
    can_end_alone: bool = False


class Context:
    """What a node's code sees, as far as it matters here."""

    label, is_serial = "node", False

    def __init__(self):
        self.metrics = NodeMetrics(label="node")


@pytest.fixture
def context():
    context = Context()
    set_context(context)
    yield context
    set_context(None)


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be set."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def look(context):
    status = context.metrics.status(methods={}, parked=(), memory_bytes=0)
    return status.phase, status.doing, status.working_seconds


def test_a_long_step_says_how_far_it_is_until_it_ends(context, clock):
    assert look(context) == ("starting", "", 0.0)
    with context.metrics.stepping():
        clock[0] += 3
        assert look(context) == ("working", "", 3.0)
        set_status("has played 1 steps")
        set_status("has played 2 steps")
        assert look(context) == ("working", "has played 2 steps", 3.0)
    assert look(context) == ("ready", "", 0.0)
    with pytest.raises(ValueError), context.metrics.stepping():
        set_status("has played 1 steps")
        raise ValueError
    assert look(context)[1] == ""


def test_a_long_constructor_says_how_far_it_is_until_it_ends(context):
    with context.metrics.constructing():
        set_status("has read 5 files")
        assert look(context)[1] == "has read 5 files"
    assert look(context)[1] == ""


@pytest.mark.parametrize("kind", ["method", "guard"])
def test_a_method_says_nothing_of_the_node_that_calls_it(context, kind):
    with context.metrics.stepping():
        set_status("has played 1 steps")
        with leaf(kind, "store.put"):
            set_status("has stored 5 items")
        assert context.metrics.doing == "has played 1 steps"
        with leaf("updating", "updating(store)"):
            set_status("has played 2 steps")
        assert context.metrics.doing == "has played 2 steps"


def test_work_is_counted_from_the_last_wait_on(context, clock):
    with context.metrics.stepping():
        clock[0] += 3
        with context.metrics.waiting(Awaited()):
            clock[0] += 10
            assert look(context) == ("waiting", "", 0.0)
        clock[0] += 2
        assert look(context) == ("working", "", 2.0)


def describe(context):
    return str(context.metrics.status(methods={}, parked=(), memory_bytes=0))


def test_a_step_that_takes_long_is_named_with_its_duration(context, clock):
    with context.metrics.stepping():
        clock[0] += 9
        assert describe(context) == "node: working (0 steps)"
        clock[0] += 3
        assert describe(context) == "node: working for 12 s (0 steps)"
        with context.metrics.waiting(Awaited()):
            assert describe(context) == (
                "node: waits for replay.sample: too few (0 steps)"
            )
            clock[0] += 99
    assert describe(context) == "node: ready (1 steps)"


def test_a_constructor_that_takes_long_is_named_with_its_duration(context, clock):
    clock[0] += 99  # It waits for its turn.
    assert describe(context) == "node: starting (0 steps)"
    with context.metrics.constructing():
        clock[0] += 3
        assert look(context) == ("starting", "", 3.0)
        assert describe(context) == "node: starting (0 steps)"
        clock[0] += 9
        assert describe(context) == (
            "node: working for 12 s in its constructor (0 steps)"
        )
    assert look(context) == ("starting", "", 0.0)
    with pytest.raises(ValueError), context.metrics.constructing():
        raise ValueError
    assert look(context) == ("starting", "", 0.0)
    assert context.metrics.worked_seconds == 0.0


def spin(context, clock, seconds):
    """Short steps, which do nothing that others could see."""
    for _ in range(seconds):
        with context.metrics.stepping():
            clock[0] += 1


def test_steps_that_neither_wait_nor_call_are_named(context, clock):
    spin(context, clock, 9)
    assert describe(context) == "node: ready (9 steps)"
    spin(context, clock, 3)
    spins = "node: working without a wait or a call for 12 s (12 steps)"
    assert describe(context) == spins
    clock[0] += 50  # Others have their turns; the node itself does nothing.
    assert describe(context) == spins


def test_a_wait_or_a_call_in_a_step_is_not_spinning(context, clock):
    metrics = context.metrics
    for contact in ("wait", "call"):
        spin(context, clock, 9)
        with metrics.stepping():
            clock[0] += 1
            if contact == "call":
                metrics.edges["replay.insert"].num_calls += 1
            else:
                with metrics.waiting(Awaited()):
                    clock[0] += 1
        assert (
            metrics.status(methods={}, parked=(), memory_bytes=0).spinning_seconds
            == 0.0
        )


@pytest.mark.parametrize(
    ("number", "p50", "p99"), [(0, None, None), (1, 1, 1), (3, 2, 3), (1000, 873, 998)]
)
def test_p50_and_p99_are_of_the_latest_calls(number, p50, p99):
    edge, method = EdgeMetrics(), MethodMetrics()
    for seconds in range(1, number + 1):
        edge.seconds.append(seconds)
        method.count_call(10 * seconds)
        method.count_run(seconds)
    assert edge.status()[2:] == (p50, p99)
    found = method.status()
    assert (found.run_p50_seconds, found.run_p99_seconds) == (p50, p99)
    assert (found.num_calls, found.num_runs) == (number, number)
    assert found.run_seconds == number * (number + 1) / 2
    assert found.queue_seconds == 10 * found.run_seconds


def test_threads_lose_nothing_that_they_count():
    method = MethodMetrics()

    def count():
        for _ in range(20_000):
            method.count_call(1.0)
            method.count_run(1.0)
            method.count_bytes(1, 2)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert method.status()[:5] == (80_000, 80_000, 80_000, 160_000, 80_000.0)


def test_outside_a_run_set_status_does_nothing():
    set_status("has played 2 steps")


@pytest.fixture
def files(monkeypatch):
    """The files that the system has, by name, as far as a test says."""
    files = {}

    def read(name):
        try:
            return io.StringIO(files[name])
        except KeyError:
            raise FileNotFoundError from None

    monkeypatch.setattr(status, "open", read, raising=False)
    return files


def test_a_container_limits_the_memory(files):
    assert status.memory_limit() > 2**28
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert status.memory_limit() > 2**28
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "5000\n"
    assert status.memory_limit() == 5000


def test_a_job_on_a_shared_machine_limits_the_memory(files):
    """As of Slurm, whose limit may be that of the job around a step."""
    files["/proc/self/cgroup"] = "0::/system.slice/job_7/step_0\n"
    files["/sys/fs/cgroup/system.slice/job_7/memory.max"] = "7000\n"
    files["/sys/fs/cgroup/system.slice/job_7/step_0/memory.max"] = "max\n"
    assert status.memory_limit() == 7000
    files["/proc/self/cgroup"] = "3:cpu,cpuacct:/job_8\n4:memory:/job_9\n"
    files["/sys/fs/cgroup/memory/job_8/memory.limit_in_bytes"] = "8000\n"
    files["/sys/fs/cgroup/memory/job_9/memory.limit_in_bytes"] = "9000\n"
    assert status.memory_limit() == 9000


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({}, 3),
    ],
)
def test_a_container_limits_the_cores(monkeypatch, files, limits, found):
    for name, text in limits.items():
        files[f"/sys/fs/cgroup/{name}"] = text
    monkeypatch.setattr(status.os, "sched_getaffinity", lambda process: {0, 1, 5})
    assert status.num_cores() == found
