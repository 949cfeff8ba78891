"""What the benchmark of loggers makes of its trials, and one short trial."""

import pytest

from benchmarks import loggers
from benchmarks.report import Report
from benchmarks.trial import run_trial


def trial(rate, launcher=0.1, wandb=0.0):
    return {"env_steps": rate, "launcher": launcher, "wandb": wandb}


def logged(rate):
    return {**trial(rate, launcher=0.13, wandb=0.02), "record forwarder": 0.01}


def test_only_loggers_have_a_bar_and_it_is_pair_by_pair():
    report = Report(benchmark="loggers", title="", command="none", machine={})
    plain = (1_000.0, 2_000.0, 1_000.0)
    trials = {
        loggers.PLAIN: [trial(rate) for rate in plain],
        loggers.LOGGED: [logged(rate) for rate in (990.0, 1_940.0, 1_010.0)],
        loggers.LIMITED: [trial(rate / 2) for rate in plain],
    }
    loggers._judge(report, "dqn", trials)
    (bar,) = report.bars
    assert (bar["value"], bar["holds"]) == (0.99, True)
    _, ratios, used = report.tables
    assert {row["name"]: row["median"] for row in ratios["rows"]} == {
        "with loggers": 0.99,
        "with a step timeout": 0.5,
    }
    assert [row["median"] for row in used["rows"]] == [0.1, 0.13, 0.01, 0.02]


@pytest.mark.slow
def test_a_run_with_loggers_and_one_with_a_step_timeout():
    arguments = {"program": "dqn", "launcher": "processes", "seed": 0}
    found = {
        side: run_trial(
            "benchmarks.loggers:rate",
            {**arguments, "first_step": 500, "seconds": 2.0, **flags},
            variables=loggers.VARIABLES,
        )
        for side, flags in loggers.SIDES.items()
        if flags
    }
    assert found[loggers.LOGGED].keys() == logged(0.0).keys()
    assert found[loggers.LIMITED].keys() == trial(0.0).keys()
    assert all(each["env_steps"] > 0 for each in found.values())
    assert 0 < found[loggers.LOGGED]["record forwarder"] < 1
