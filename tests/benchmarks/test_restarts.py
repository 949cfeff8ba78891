"""The benchmark of restarts with one window, in which one node is killed."""

from dataclasses import asdict

import pytest

from benchmarks.trial import run_trial

pytestmark = pytest.mark.slow


def report_of_one_window():
    """A trial: the benchmark sets variables of its process, which tests must not."""
    from benchmarks import restarts

    restarts.NUM_WINDOWS = 1
    return asdict(restarts.measure("processes", 2.0, False, "none"))


def test_a_short_run_makes_a_report():
    made = run_trial("tests.benchmarks.test_restarts:report_of_one_window")
    holds = {bar["name"]: bar["holds"] for bar in made["bars"]}
    assert {"return at the end", "time that actors waited"} <= holds.keys()
    # Whatever was learned in so short a time.
    assert holds["not restarted"] and holds["transitions"]
    found = made["details"]
    assert len(found["shocks"]) == 1 and sum(found["restarts"].values()) >= 1
    # There may be folders of other tests' runs.
    assert not [left for left in found["left"] if left.startswith("process")]
