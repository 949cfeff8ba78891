"""Mixed traffic for a while, and what the benchmark makes of its samples."""

import sys

import pytest

from benchmarks import rpc_traffic
from benchmarks.report import Report


def report():
    return Report(benchmark="rpc_traffic", title="", command="none", machine={})


def held(seconds=0, resident=100e6, descriptors=20, threads=7, maps=4):
    return {
        "seconds": seconds,
        "resident": resident,
        "private": resident / 2,
        "descriptors": descriptors,
        "threads": threads,
        "maps": maps,
    }


def found(resident, after):
    samples = [held(second, size) for second, size in enumerate(resident)]
    calls = {"add": 900, "echo": 500}
    return {"samples": samples, "before": held(), "after": after, "calls": calls}


def failing(result):
    made = report()
    rpc_traffic.report_traffic(made, result)
    return [bar["name"] for bar in made.bars if not bar["holds"]]


def test_memory_is_compared_between_the_second_and_the_last_quarter():
    start = [10e6] * 25 + [100e6] * 50
    assert failing(found(start + [104e6] * 25, held())) == []
    memory = "resident memory, last quarter over second"
    assert failing(found(start + [106e6] * 25, held())) == [memory]


@pytest.mark.parametrize("kind", ["descriptors", "threads", "maps"])
def test_nothing_may_be_left(kind):
    left = held()
    left[kind] += 1
    assert failing(found([100e6] * 8, left)) == [f"{kind} after the clients are gone"]


def test_calls_of_every_kind_have_to_be_made():
    result = found([100e6] * 8, held())
    result["calls"]["never"] = 7
    assert failing(result) == ["calls of each method"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_nothing_is_left_of_clients_that_are_killed():
    """Of its memory the long run tells."""
    result = rpc_traffic.run_traffic(20.0, num_clients=4)
    made = [name for name in failing(result) if not name.startswith("resident memory")]
    assert made == []
    assert result["killed"] >= 20
