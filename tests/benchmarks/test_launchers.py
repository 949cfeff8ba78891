"""What the benchmark of launchers makes of its trials, and one on three hosts."""

import sys

import pytest

from benchmarks import launchers
from benchmarks.hosts import SECRET
from benchmarks.trial import RAY, run_trial

NODES = ("replay", "learner", "evaluator", "actor/0", "actor/1")


def curve(reached, num_hosts):
    """Of a run whose nodes are on so many hosts, the coordinator on another."""
    return {
        "env_steps": [1_000, 2_000, 3_000],
        "mean_returns": [480.0, 490.0, 500.0],
        "seconds": 20.0,
        "reached": reached,
        "hosts": {
            "coordinator": "host 0",
            **{label: f"ray host {i % num_hosts}" for i, label in enumerate(NODES)},
        },
    }


@pytest.fixture
def trials(monkeypatch):
    """What each trial returns, by program and place; and the trials that were made."""
    returned, made = {}, []

    def run(function, arguments, *, python, variables):
        made.append((arguments, python))
        where = arguments["program"], arguments["place"]
        return returned.get(where, curve(2_000, num_hosts=3))

    monkeypatch.setattr(launchers, "run_trial", run)
    monkeypatch.setattr(launchers, "describe_machine", lambda *_: {})
    return returned, made


def bars(report):
    return {bar["name"]: (bar["value"], bar["holds"]) for bar in report.bars}


def test_every_program_has_to_be_at_its_target_at_every_place(trials):
    returned, made = trials
    returned["ppo", launchers.OWN] = curve(None, num_hosts=1)
    returned["dqn", launchers.CLUSTER] = curve(5_000, num_hosts=2)
    report = launchers.measure(False, "none")
    found = bars(report)
    assert len(found) == 3 * (3 + 2)
    assert [name for name, (_, holds) in found.items() if not holds] == [
        "dqn, a Ray cluster of 3 hosts, hosts with nodes",
        "ppo, a Ray of its own, steps to 475",
    ]
    assert found["impala, 3 hosts, steps to 450"] == (2_000, True)
    assert "coordinator at host 0, replay at ray host 0" in report.notes[-1]
    pythons = {arguments["place"]: python for arguments, python in made}
    assert pythons == {
        launchers.OWN: RAY,
        launchers.CLUSTER: RAY,
        launchers.HOSTS: sys.executable,
    }


def test_a_quick_run_has_a_tenth_of_the_steps_and_no_target(trials):
    _, made = trials
    report = launchers.measure(True, "none --quick")
    assert all("hosts with nodes" in name for name in bars(report))
    budgets = {each["program"]: each["max_env_steps"] for each, _ in made}
    assert budgets == {"dqn": 10_000, "ppo": 10_000, "impala": 40_000}


@pytest.mark.slow
def test_a_program_on_three_hosts():
    found = run_trial(
        "benchmarks.launchers:solve",
        {"program": "dqn", "place": launchers.HOSTS, "max_env_steps": 2_000},
        variables={"ACMELIKE_SECRET": SECRET},
    )
    assert found["env_steps"][-1] >= 2_000
    assert set(found["hosts"].values()) == {"host 0", "host 1", "host 2"}
