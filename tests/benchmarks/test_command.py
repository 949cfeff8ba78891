"""A benchmark as a process: its command line, its exit status, its trials."""

import json
import sys

import pytest

import benchmarks.__main__ as all_benchmarks
from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine, versions
from benchmarks.report import Report
from benchmarks.trial import TrialFailed, keep, keep_results, run_trial


@pytest.fixture(autouse=True)
def keeps_nothing_afterwards(monkeypatch):
    """Trials of other tests would be written where these keep theirs."""
    monkeypatch.setattr("benchmarks.trial._kept", None)


def measure_with(value):
    def measure(quick, command):
        report = Report(
            benchmark="example",
            title="An example",
            command=command,
            machine=describe_machine(("numpy",)),
        )
        report.add_table("Speed", "steps/s", {"ours": [value]})
        report.add_bar("speed", value, ">=", 1.0)
        return report

    return measure


def status_of(measure, *args):
    with pytest.raises(SystemExit) as ended:
        run_benchmark("example", "An example.", measure, args)
    return ended.value.code


def lines_of(kept):
    return [json.loads(line) for line in kept.read_text().splitlines()]


@pytest.mark.parametrize(("value", "status"), [(1.0, 0), (0.9, 1)])
def test_status_says_whether_the_bars_hold(tmp_path, capsys, value, status):
    out = tmp_path / "folder" / "example.json"
    assert status_of(measure_with(value), "--out", str(out)) == status
    written = json.loads(out.read_text())
    bar = {"name": "speed", "value": value, "bar": ">= 1", "holds": status == 0}
    assert written["bars"] == [bar]
    assert written["command"] == "python -m benchmarks.example --out example.json"
    assert written["machine"]["cores"] >= 1
    assert "numpy" in written["machine"]["interpreters"]["acmelike"]
    assert "| speed |" in capsys.readouterr().out


def test_quick_is_passed_on_and_recorded(tmp_path):
    seen = []

    def measure(quick, command):
        seen.append(quick)
        return measure_with(1.0)(quick, command)

    out = tmp_path / "example.json"
    assert status_of(measure, "--out", str(out), "--quick") == 0
    assert seen == [True]
    assert json.loads(out.read_text())["command"].endswith("--quick")


def test_where_to_write_has_to_be_said(capsys):
    assert status_of(measure_with(1.0)) == 2
    assert "--out" in capsys.readouterr().err


def failing_after_one(quick, command):
    keep("benchmarks.example:rate", {"seed": 0}, [1.5])
    raise TrialFailed("the peer ended with 1")


def test_a_trial_that_fails_is_told_and_what_others_returned_is_kept(tmp_path, capsys):
    out, kept = tmp_path / "example.json", tmp_path / "example.json.trials"
    assert status_of(failing_after_one, "--out", str(out)) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: the peer ended with 1",
        f"what earlier trials returned is in {kept}",
    ]
    assert list(tmp_path.iterdir()) == [kept]
    assert lines_of(kept) == [
        {
            "trial": "benchmarks.example:rate",
            "arguments": {"seed": 0},
            "result": [1.5],
        }
    ]


def test_nothing_but_the_json_is_left_of_a_benchmark_that_succeeds(tmp_path):
    out = tmp_path / "example.json"
    assert status_of(failing_after_one, "--out", str(out)) == 1
    assert status_of(measure_with(1.0), "--out", str(out)) == 0
    assert list(tmp_path.iterdir()) == [out]


# --- All of them ------------------------------------------------------------------


def test_all_benchmarks_run_and_the_worst_status_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(all_benchmarks, "BENCHMARKS", ("rpc", "dqn"))
    commands, statuses = [], iter([1, 0])

    class Ended:
        def __init__(self, command):
            commands.append(command[2:])
            self.returncode = next(statuses)

    monkeypatch.setattr(all_benchmarks.subprocess, "run", Ended)
    assert all_benchmarks.main(["--out", str(tmp_path), "--quick"]) == 1
    assert commands == [
        [f"benchmarks.{name}", "--out", str(tmp_path / f"{name}.json"), "--quick"]
        for name in ("rpc", "dqn")
    ]


# --- Trials -----------------------------------------------------------------------


def test_a_trial_runs_in_another_process_and_returns_json():
    found = run_trial("benchmarks.machine:versions", {"packages": ["numpy", "nothing"]})
    assert found == versions(packages=["numpy"])


def test_a_trial_that_raises_says_what_it_said():
    with pytest.raises(TrialFailed) as failed:
        run_trial("benchmarks.machine:versions", {"package": []})
    assert "benchmarks.machine:versions ended with 1" in str(failed.value)
    assert "unexpected keyword argument 'package'" in str(failed.value)


def test_a_trial_sees_the_variables_it_is_given():
    name = "os:getenv"
    assert run_trial(name, {"key": "A_VARIABLE"}, variables={"A_VARIABLE": "7"}) == "7"


def test_what_trials_return_is_kept_in_their_order(tmp_path):
    kept = tmp_path / "new" / "kept"
    keep_results(kept)
    for value in ("7", "8"):
        run_trial("os:getenv", {"key": "A_VARIABLE"}, variables={"A_VARIABLE": value})
    with pytest.raises(TrialFailed):
        run_trial("os:no_such_function")
    trial = {"trial": "os:getenv", "arguments": {"key": "A_VARIABLE"}}
    assert lines_of(kept) == [{**trial, "result": "7"}, {**trial, "result": "8"}]


def test_another_benchmark_keeps_its_own_results_alone(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    keep("nobody", {}, "is lost: nothing is kept yet")
    for place in (first, second, first):
        keep_results(place)
        keep("example", {}, place.name)
    assert [line["result"] for line in lines_of(first)] == ["first"]
    assert [line["result"] for line in lines_of(second)] == ["second"]


def test_a_missing_interpreter_is_named():
    with pytest.raises(TrialFailed, match="there is no no/such/python"):
        run_trial("os:getenv", python="no/such/python")


def test_a_trial_too_long_is_ended(monkeypatch):
    monkeypatch.setattr("benchmarks.trial.TIMEOUT_SECONDS", 0.5)
    with pytest.raises(TrialFailed, match=r"no end after 0\.5 s"):
        run_trial("signal:pause")


def test_the_interpreter_of_this_process_is_the_default():
    assert run_trial("benchmarks.machine:versions", {"packages": []}) == {
        "python": ".".join(map(str, sys.version_info[:3]))
    }
