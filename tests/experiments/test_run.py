"""`main` called in this process: mistakes, failures, what a run leaves behind."""

import json
import logging
import signal
import threading
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from acmelike import load_policy
from acmelike.environments import CatchFactory, GymnasiumVectorFactory
from acmelike.errors import ConfigError
from acmelike.experiments import recorded_run, watch
from acmelike.experiments.command import train_command
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.evaluate import evaluate_command
from acmelike.files import read_json_lines
from acmelike.programs.dqn import PROGRAM
from acmelike.telemetry import loggers, plots

BROKEN = "tests.programs.broken_envs"
LAUNCHERS = ("serial", "threads")
SMALL = [
    *("--environment", "Catch", "--max-env-steps", "120", "--num-actors", "1"),
    *("--evaluate-every", "50", "--num-eval-episodes", "2"),
    *("--agent.replay.min-size", "50", "--agent.num-updates-per-call", "2"),
    *("--agent.batch-size", "8", "--agent.hidden-sizes", "16"),
]
KEYS = set(
    "status agent environment launcher seed env_steps learner_steps wall_seconds "
    "final_return final_learner_steps "
    "best_return best_learner_steps best_env_steps env_steps_per_second "
    "learner_steps_per_second "
    "learner_idle_fraction actor_blocked_fraction samples_per_insert "
    "staleness_mean num_dropped_episodes num_restarts hosts end_reason".split()
)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A node in a long compilation as its run ends is waited for, however slow."""
    monkeypatch.setattr(recorded_run, "GRACE_SECONDS", 60.0)


def dqn(out, *args, make_builder=PROGRAM.make_builder):
    program = replace(PROGRAM, make_builder=make_builder)
    return train_command(program, [*SMALL, "--out", str(out), *map(str, args)])


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def without_times(folder):
    return [
        {key: value for key, value in line.items() if key != "time"}
        for line in read_json_lines(folder / "metrics.jsonl")
    ]


# --- A run that ends well ---------------------------------------------------------


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_run_leaves_a_folder_whose_files_agree(tmp_path, capsys, launcher):
    args = ["--launch", launcher, "--seed", "3", "--agent.no-double"]
    assert dqn(tmp_path, *args) == 0

    told = summary(tmp_path)
    assert told.keys() == KEYS
    expected = {
        "status": "completed",
        "agent": "dqn",
        "environment": "Catch",
        "launcher": launcher,
        "seed": 3,
    }
    assert told.items() >= expected.items()
    lines = read_json_lines(tmp_path / "metrics.jsonl")
    last = [line for line in lines if line["event"] == "progress"][-1]
    for name in ("env_steps", "learner_steps", "samples_per_insert", "staleness_mean"):
        assert told[name] == last[name]
    seconds = last["time"]["seconds"]
    assert told["env_steps_per_second"] == told["env_steps"] / seconds
    assert told["learner_steps_per_second"] == told["learner_steps"] / seconds
    assert 0 < seconds < told["wall_seconds"]
    returns = [line["mean_return"] for line in lines if "mean_return" in line]
    assert lines[-1]["event"] == "end"
    assert told["final_return"] == returns[-1]
    assert told["final_learner_steps"] == lines[-1]["learner_steps"]
    assert told["best_return"] == max(returns)
    best = next(line for line in lines if line.get("mean_return") == max(returns))
    for name in ("learner_steps", "env_steps"):
        assert told[f"best_{name}"] == best[name]
    # Actors wait for their first parameters at least. In threads the learner may find
    # the table filled when it has compiled, and never wait.
    assert 0 < told["actor_blocked_fraction"] < 1
    if launcher == "serial":
        assert 0 < told["learner_idle_fraction"] < 1
    else:
        assert 0 <= told["learner_idle_fraction"] < 1

    policy = load_policy(tmp_path)
    assert lines[-1].items() >= policy.record.items()
    assert policy.environment_factory == CatchFactory()
    assert policy.act(np.zeros((10, 5))) in (0, 1, 2)

    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["agent"]["hidden_sizes"] == [16]
    assert saved["agent"]["double"] is False
    assert (saved["seed"], saved["launch"], saved["out"]) == (
        3,
        launcher,
        str(tmp_path),
    )
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr()
    assert said.err == "" and len(said.out.splitlines()) >= 2
    for line in said.out.splitlines():
        assert line.strip() in (tmp_path / "logs" / "run.log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "metrics.jsonl", "summary.json", "curve.png", "logs"),
        *("policy.zip", "metrics.png"),
    }


@pytest.mark.slow
def test_a_vectorised_environment_is_learned_and_its_policy_evaluated(tmp_path, capsys):
    assert dqn(tmp_path, "--environment", "vec:CartPole-v1") == 0
    capsys.readouterr()
    factory = load_policy(tmp_path).environment_factory
    assert factory == GymnasiumVectorFactory(name="CartPole-v1")
    assert evaluate_command([str(tmp_path), "--episodes", "3"]) == 0
    assert capsys.readouterr().out.endswith(", 3 episodes\n")


@pytest.mark.slow
def test_looking_at_a_serial_run_does_not_change_it(tmp_path, monkeypatch, capsys):
    args = ["--launch", "serial"]
    assert dqn(tmp_path / "a", *args) == 0
    capsys.readouterr()
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.001)
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.0)
    assert dqn(tmp_path / "b", *args) == 0
    assert len(capsys.readouterr().out.splitlines()) > 20
    assert without_times(tmp_path / "a") == without_times(tmp_path / "b")


def test_the_process_is_left_as_it_was(tmp_path):
    logger = logging.getLogger("acmelike")
    before = (logger.level, logger.propagate, list(logger.handlers))
    handler, threads = signal.getsignal(signal.SIGINT), set(threading.enumerate())
    assert dqn(tmp_path) == 0
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    assert signal.getsignal(signal.SIGINT) is handler
    left = set(threading.enumerate()) - threads
    assert not [thread for thread in left if not thread.name.startswith("jax")]


# --- Mistakes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--environment", "CartPol-v1"], "'CartPol-v1'; did you mean 'CartPole-v1'?"),
        (["--environment", "Pendulum-v1"], "dqn needs discrete actions"),
        (["--environment", "no_such:A-v0"], "no_such"),
        (["--action-mask-from-info"], "'Catch': Catch has no info, as environments of"),
        (
            ["--environment", "CartPole-v1", "--action-mask-from-info"],
            "'CartPole-v1': the info of this environment has no 'action_mask'",
        ),
        (
            ["--environment", "vec:CartPole-v1", "--action-mask-from-info"],
            "leave out 'vec:' or 'envpool:', or action_mask_from_info",
        ),
        (["--launch", "thread"], "unknown launcher 'thread'; did you mean 'threads'?"),
        (["--num-actors", "0"], "--num-actors must be at least 1: 0"),
        (["--num-envs-per-actor", "0"], "--num-envs-per-actor must be at least 1: 0"),
        (["--max-env-steps", "-5"], "--max-env-steps must be at least 1: -5"),
        (["--seed", "-1"], "--seed must be at least 0: -1"),
        (["--stop-at-return", "nan"], "--stop-at-return must be finite: nan"),
        (["--agent.n-step", "0"], "--agent.n-step must be at least 1: 0"),
        (
            ["--agent.optimizer.learning-rate", "0"],
            "--agent.optimizer.learning-rate must be",
        ),
        (
            ["--agent.replay.error-buffer", "5"],
            "error_buffer must be at least the ratio",
        ),
        (
            ["--agent.optimizer.lerning-rate", "1"],
            "did you mean '--agent.optimizer.learning-rate'?",
        ),
        (["--learner-device", "gpu"], "learner_device is gpu, and JAX finds no such"),
        (["--learner-device", "gpu:1"], "--learner-device"),
        (["--agent.replay.size", "1000000000000"], "full (transitions: 1,000,000,000"),
        (["--num-actors", "two"], "--num-actors"),
        (["stray"], "stray"),
        (["--seed"], "--seed"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(
    tmp_path, capsys, args, words
):
    assert dqn(tmp_path / "new" / "x", *args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert words in said.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("launcher", [*LAUNCHERS, "processes"])
def test_replay_that_needs_more_than_all_memory_is_refused_before_the_start(
    tmp_path, capsys, monkeypatch, launcher
):
    monkeypatch.setattr("acmelike.replay.service.replay.memory_limit", lambda: 1_000)
    assert dqn(tmp_path / "x", "--launch", launcher) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "this machine has 1e-06 GB" in said.err
    assert not (tmp_path / "x").exists()


def test_a_run_may_be_told_to_start_with_too_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("acmelike.replay.service.replay.memory_limit", lambda: 1_000)
    assert dqn(tmp_path, "--launch", "serial", "--replay-may-exceed-memory") == 0
    assert "replay takes about " in (tmp_path / "logs" / "run.log").read_text()


@pytest.mark.skipif(find_spec("reverb") is not None, reason="reverb is installed")
def test_an_engine_that_is_not_installed_is_refused(tmp_path, capsys):
    assert dqn(tmp_path / "x", "--replay-engine", "reverb") == 2
    assert "`make reverb-env` installs it" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_limiter_window_narrower_than_the_batch_is_refused(tmp_path, capsys):
    args = ["--environment", "CartPole-v1", "--agent.replay.error-buffer", "40"]
    assert dqn(tmp_path / "x", *args, "--agent.batch-size", "64") == 2
    assert "too narrow for a sample of 128 items" in capsys.readouterr().err


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert dqn(tmp_path) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} already holds a run (config.json): choose another folder, "
        "or remove that run\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_on_a_full_disk_is_refused(tmp_path, capsys, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorded_run, "write_json", full)
    assert dqn(tmp_path / "x") == 2
    assert capsys.readouterr().err == (
        f"error: cannot write to {tmp_path / 'x'}: No space left on device\n"
    )
    assert not any(tmp_path.iterdir())


def test_help_is_no_mistake(tmp_path, capsys):
    assert dqn(tmp_path, "--help") == 0
    assert "--agent.n-step" in capsys.readouterr().out


def test_a_configuration_in_code_speaks_of_fields():
    with pytest.raises(ConfigError, match=r"^num_actors must be at least 1"):
        ExperimentConfig(num_actors=0, agent=None)


# --- Failures ---------------------------------------------------------------------


def test_a_run_that_an_environment_ends_is_complete_without_a_final_return(
    tmp_path, capsys
):
    args = ["--environment", f"{BROKEN}:Stops-v0", "--launch", "serial"]
    assert dqn(tmp_path, *args) == 0
    assert "seen enough: no final evaluation after" in capsys.readouterr().out
    told = summary(tmp_path)
    assert (told["status"], told["final_return"]) == ("completed", None)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("environment", "node", "cause"),
    [
        ("Raises-v0", "actor/0", "raised ValueError in step: the wheel came off"),
        ("WrongShape-v0", "actor/0", "shape (4,), its specification says (3,)"),
        ("Overflows-v0", "learner", "NonFinite: the loss is inf after 0 updates"),
    ],
)
def test_a_failure_is_told_in_one_line_with_node_and_cause(
    tmp_path, capsys, launcher, environment, node, cause
):
    args = ["--environment", f"{BROKEN}:{environment}", "--launch", launcher]
    assert dqn(tmp_path, *args) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: node '{node}' failed in its step: ")
    assert cause in said and said.count("\n") == 1
    told = summary(tmp_path)
    assert told.keys() == {*KEYS, "error"}
    assert told["status"] == "failed"
    assert cause in told["error"] and node in told["error"]
    assert told["final_return"] is None
    assert "Traceback" in (tmp_path / "logs" / "run.log").read_text()


def test_records_that_cannot_be_written_end_the_run(tmp_path, capsys):
    def break_metrics(config):
        (tmp_path / "metrics.jsonl").mkdir()
        return PROGRAM.make_builder(config)

    assert dqn(tmp_path, make_builder=break_metrics) == 1
    said = capsys.readouterr().err
    assert "node 'coordinator' failed in its step: IsADirectoryError" in said
    assert said.count("\n") == 1
    assert summary(tmp_path)["status"] == "failed"


def test_a_disk_that_becomes_full_is_told_in_the_summary(tmp_path, capsys, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    def fill_disk(config):
        monkeypatch.setattr(recorded_run, "write_json", full)
        return PROGRAM.make_builder(config)

    assert dqn(tmp_path, make_builder=fill_disk) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and said.count("\n") == 1
    assert summary(tmp_path)["status"] == "failed"


def test_a_fault_of_its_own_is_a_failure_with_a_traceback(tmp_path, capsys):
    def fail(config):
        raise RuntimeError("no such luck\nat all")

    assert dqn(tmp_path, make_builder=fail) == 1
    assert capsys.readouterr().err == (
        f"error: RuntimeError: no such luck; see {tmp_path}/logs/run.log\n"
    )
    assert "in fail" in (tmp_path / "logs" / "run.log").read_text()
    assert summary(tmp_path)["error"] == "RuntimeError: no such luck"


# --- Interrupts -------------------------------------------------------------------


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_an_interrupt_before_the_run(tmp_path):
    assert dqn(tmp_path, make_builder=interrupt) == 130
    assert summary(tmp_path)["status"] == "interrupted"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_an_interrupt_in_the_run(tmp_path, monkeypatch, launcher):
    monkeypatch.setattr(watch, "watch_training", interrupt)
    assert dqn(tmp_path, "--launch", launcher) == 130
    told = summary(tmp_path)
    assert (told["status"], told.keys()) == ("interrupted", KEYS)


def test_an_interrupted_run_says_how_far_it_was(tmp_path, monkeypatch, capsys):
    def interrupt_later(run, system, **others):
        run.client(system.replay).past_env_steps(100)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch_training", interrupt_later)
    rare = ["--record-every", 10_000, "--evaluate-every", 10_000]
    assert dqn(tmp_path, "--launch", "threads", "--max-env-steps", 10_000, *rare) == 130
    *_, last = read_json_lines(tmp_path / "metrics.jsonl")
    env_steps = summary(tmp_path)["env_steps"]
    assert last["env_steps"] < 100 <= env_steps
    assert f"interrupted after {env_steps:,} environment" in capsys.readouterr().out


def test_an_interrupt_after_the_run_is_still_one(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "plot_curve", interrupt)
    assert dqn(tmp_path) == 130
    told = summary(tmp_path)
    assert told["status"] == "interrupted"
    assert told["env_steps"] >= 120


def test_an_interrupt_of_a_complete_run_leaves_it_complete(tmp_path, monkeypatch):
    class Uploads:
        def write(self, record):
            pass

        def close(self):
            assert summary(tmp_path)["status"] == "completed"
            interrupts.append(True)

    def join(self, kind, *error):
        self._is_over.set()
        self._thread.join()
        assert interrupts == [True]
        raise KeyboardInterrupt

    interrupts = []
    monkeypatch.setattr(loggers, "CsvLogger", lambda folder: Uploads())
    monkeypatch.setattr(loggers.RecordForwarder, "__exit__", join)
    assert dqn(tmp_path, "--log", "csv") == 130
    assert summary(tmp_path)["status"] == "completed"


# --- A picture in place of a run --------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("graph.svg", "<svg "),
        ("graph.mmd", "flowchart LR\n"),
        ("graph.md", "```mermaid\nflowchart LR\n"),
    ],
)
def test_a_program_is_drawn_and_not_run(tmp_path, capsys, monkeypatch, name, begin):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_text("an older one")
    threads = threading.active_count()
    assert dqn("run", "--draw", path, "--num-actors", "3") == 0
    assert threading.active_count() == threads
    assert capsys.readouterr().out == f"drew 7 nodes into {path}\n"
    assert path.read_text().startswith(begin)
    assert "actor/2" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none/graph.svg", "cannot write to none/graph.svg: No such file or directory"),
        ("file/graph.svg", "cannot write to file/graph.svg: Not a directory"),
        ("folder.svg", "cannot write to folder.svg: it is not a file"),
        ("graph.png", "--draw must end in .svg, .mmd or .md: graph.png"),
    ],
)
def test_a_picture_that_cannot_be_written(tmp_path, capsys, monkeypatch, path, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.svg").mkdir()
    assert dqn("run", "--draw", path) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"error: {why}\n")
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "folder.svg"}


def test_a_picture_is_drawn_where_the_command_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = f"{BROKEN}:Wanders-v0"
    assert dqn("run", "--draw", "graph.svg", "--environment", environment) == 0
    assert (tmp_path / "graph.svg").read_text().startswith("<svg ")


def test_a_program_that_cannot_be_made_is_not_drawn(tmp_path, capsys):
    path = tmp_path / "graph.svg"
    assert dqn("run", "--draw", path, "--environment", "Nope") == 2
    args = ["--environment", f"{BROKEN}:Raises-v0", "--draw", path]
    assert dqn("run", *args, make_builder=lambda config: 1 / 0) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        "error: there is no environment 'Nope'",
        "error: ZeroDivisionError: division by zero",
    ]
    assert not path.exists()


# --- Videos -----------------------------------------------------------------------


def test_a_run_records_videos_of_its_evaluations(tmp_path):
    assert dqn(tmp_path, "--launch", "serial", "--video.every", 2) == 0
    judged = [
        line
        for line in read_json_lines(tmp_path / "metrics.jsonl")
        if line["event"] != "progress"
    ]
    names = sorted(path.name for path in (tmp_path / "videos").iterdir())
    steps = {judged[0]["env_steps"], judged[-1]["env_steps"]}
    assert names == sorted(
        f"{number:010}.gif"
        for number in steps | {line["env_steps"] for line in judged[::2]}
    )


def test_an_environment_that_draws_nothing_is_refused_before_the_run(tmp_path, capsys):
    args = ["--environment", f"{BROKEN}:Walk-v0", "--video.every", 2]
    assert dqn(tmp_path / "x", *args) == 2
    assert "cannot render" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
