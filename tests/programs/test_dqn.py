"""The program as a process: its exit statuses, its words, and what signals do to it."""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acmelike import load_policy
from acmelike.agents.dqn import DQNConfig
from acmelike.agents.parts.q_learning import QLearningConfig
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.evaluation.goal import Goal
from acmelike.evaluation.video import VideoSettings
from acmelike.experiments.config import EnvironmentConfig, ExperimentConfig
from acmelike.experiments.flags import flags_of
from acmelike.programs.dqn import PROGRAM
from acmelike.topologies.layout import Layout
from acmelike.topologies.rewards import RewardSettings
from tests.programs.said import OVERDUE, complaints

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds after which what has not ended hangs
SMALL = [
    *("--max-env-steps", "300", "--num-eval-episodes", "2"),
    *("--agent.replay.min-size", "50", "--agent.num-updates-per-call", "2"),
    *("--agent.batch-size", "8", "--agent.hidden-sizes", "16"),
]
ENDLESS = ["--environment", "tests.programs.broken_envs:Endless-v0"]
DOCUMENTED = (
    *(EnvironmentConfig, Layout, Goal, ExperimentConfig),
    *(DQNConfig, QLearningConfig, OptimizerSettings, ReplaySettings, RewardSettings),
    VideoSettings,
)
DOCUMENTATION = "".join(config.__doc__ for config in DOCUMENTED)


def command(*args, python=()):
    return [sys.executable, *python, "-m", "programs.dqn", *map(str, args)]


def run(*args, python=()):
    return subprocess.run(
        command(*args, python=python), cwd=ROOT, capture_output=True, text=True
    )


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


# --- What it says -----------------------------------------------------------------


def test_help_explains_every_flag_within_80_columns_and_without_jax(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = run("--help", python=["-X", "importtime"])
    assert ended.returncode == 0
    assert not re.search(r"\| +(jax|gymnasium|matplotlib)$", ended.stderr, re.M)
    assert all(len(line) <= 80 for line in ended.stdout.splitlines())
    text = " ".join(ended.stdout.replace("│", " ").split())
    documented = dict(re.findall(r"^ +(\w+): (.+)$", DOCUMENTATION, re.M))
    for flag in flags_of(PROGRAM.config):
        name = re.sub(r"^--(\w+\.)*(no-)?", "", flag).replace("-", "_")
        assert flag in text
        assert documented[name] in text


def test_a_run_that_ends_well(tmp_path):
    out = tmp_path / "runs" / "x"
    args = ["--environment", "Catch", "--max-env-steps", "100"]
    ended = run(*SMALL, *args, "--out", out)
    assert (ended.returncode, complaints(ended)) == (0, "")
    first, *_, last = ended.stdout.splitlines()
    assert first.startswith("dqn on Catch, launched by threads, seed 0;")
    for words in ("budget of 100", "return ", "environment steps", " s;", str(out)):
        assert words in last
    assert summary(out)["status"] == "completed"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_numpy_starts_no_threads_of_its_own(tmp_path):
    environment = "tests.programs.broken_envs:CountsThreads-v0"
    ended = run("--environment", environment, "--out", tmp_path / "x")
    # The main one, and the one that says so if this takes long.
    assert ended.stderr == (
        f"error: environment '{environment}' cannot be made: ValueError: 2 threads\n"
    )


@pytest.mark.slow
def test_a_policy_that_saw_stacks_acts_on_stacks(tmp_path):
    args = ["--environment", "Catch", "--max-env-steps", "100", "--frame-stack", "3"]
    args += ["--max-episode-steps", "2"]
    ended = run(*SMALL, *args, "--launch", "serial", "--out", tmp_path / "x")
    assert (ended.returncode, complaints(ended)) == (0, "")
    policy = load_policy(tmp_path / "x")
    environment = policy.environment_factory(seed=0)
    observation = environment.reset().observation
    assert observation.shape == (3, 10, 5, 1)
    assert policy.act(observation) in (0, 1, 2)
    assert [environment.step(0).last() for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    "args",
    [
        ["--num-actors", "0"],
        ["--lunch", "threads"],
        ["--max-episode-steps", "0"],
        ["--environment", "tests.programs.broken_envs:Reads-v0"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, args):
    ended = run(*args, "--out", tmp_path / "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"error: .+\n", ended.stderr)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "launcher", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_a_node_that_fails_is_one_line_and_status_1(tmp_path, launcher):
    args = ["--environment", "tests.programs.broken_envs:Raises-v0"]
    ended = run(*SMALL, *args, "--launch", launcher, "--out", tmp_path)
    assert ended.returncode == 1
    assert re.fullmatch(
        r"error: node 'actor/\d' failed in its step: EnvironmentFault: "
        r"environment 0 raised ValueError in step: the wheel came off; "
        rf"see {tmp_path}/logs/run.log\n",
        complaints(ended),
    )
    if launcher == "processes":  # The log begins where the code is not acmelike's.
        log = (tmp_path / "logs" / "run.log").read_text()
        frames = [line for line in log.splitlines() if line.startswith('  File "')]
        assert not any(str(ROOT / "acmelike") in frame for frame in frames)
        assert "tests/programs/broken_envs.py" in frames[-1]


@pytest.mark.slow
@pytest.mark.parametrize("stdout", ["| head -n 1", "> /dev/full", ">&-"])
def test_what_cannot_be_printed_ends_no_run(tmp_path, stdout):
    args = ["--environment", "Catch", "--max-env-steps", "100"]
    words = shlex.join(map(str, command(*SMALL, *args, "--out", tmp_path / "x")))
    script = f"set -o pipefail; {words} {stdout}"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, complaints(ended)) == (0, "")
    assert summary(tmp_path / "x")["status"] == "completed"
    assert "the budget of" in (tmp_path / "x" / "logs" / "run.log").read_text()


# --- What signals do --------------------------------------------------------------


class Started:
    """The program in an endless environment, up to a line that it prints."""

    def __init__(self, folder, *args, until):
        self.folder = folder
        self._process = subprocess.Popen(
            command(*SMALL, *ENDLESS, "--out", folder, *args),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = (line for line in self._process.stdout if until in line)
        self.line = next(lines, "it never said so")
        assert until in self.line

    def send(self, number):
        self._process.send_signal(number)

    def wait_for_reply(self):
        assert "once more ends it at once" in self._process.stderr.readline()

    def check_interrupted(self, *, within):
        """It ended, with status and summary that say so; returns what it said."""
        began = time.monotonic()
        _, errors = self._process.communicate(timeout=LIMIT)
        assert time.monotonic() - began < within
        assert self._process.returncode == 130
        assert "Traceback" not in errors
        assert summary(self.folder)["status"] == "interrupted"
        return errors


@pytest.mark.parametrize(
    ("until", "launcher", "number"),
    [
        ("MainThread makes it", "threads", signal.SIGINT),  # JAX is imported next.
        ("is recorded in", "serial", signal.SIGINT),  # The nodes begin.
        ("is recorded in", "threads", signal.SIGTERM),
        ("is recorded in", "threads", signal.SIGHUP),  # Its terminal is closed.
        pytest.param(
            *("node actor/0 steps it", "serial", signal.SIGTERM), marks=pytest.mark.slow
        ),
        pytest.param(
            *("node actor/0 steps it", "threads", signal.SIGINT), marks=pytest.mark.slow
        ),
    ],
)
def test_a_signal_interrupts(tmp_path, until, launcher, number):
    program = Started(tmp_path, "--launch", launcher, until=until)
    program.send(number)
    program.check_interrupted(within=5)


# With 1,000 it is the final evaluation.
@pytest.mark.slow
@pytest.mark.parametrize("evaluate_every", [1_000, 100])
@pytest.mark.parametrize("launcher", ["threads", "serial"])
def test_a_signal_ends_a_step_that_never_would(tmp_path, launcher, evaluate_every):
    args = ["--launch", launcher, "--evaluate-every", evaluate_every]
    program = Started(tmp_path, *args, until="node evaluator steps it")
    program.send(signal.SIGINT)
    assert OVERDUE in program.check_interrupted(within=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "number"),
    [
        ("serial", signal.SIGINT),
        ("threads", signal.SIGINT),
        ("threads", signal.SIGHUP),
    ],
)
def test_what_an_environment_has_started_ends_with_a_run_that_hangs(
    tmp_path, launcher, number
):
    args = ["--environment", "tests.programs.broken_envs:Hangs-v0"]
    args += ["--launch", launcher, "--num-actors", "1", "--num-envs-per-actor", "1"]
    program = Started(tmp_path, *args, until="hangs beside ")
    started = os.pidfd_open(int(program.line.split()[-1]))
    program.send(number)
    program.check_interrupted(within=6)
    poll = select.poll()
    poll.register(started, select.POLLIN)  # Readable when the process has ended.
    has_ended = poll.poll(5000)
    os.close(started)
    assert has_ended


@pytest.mark.slow
def test_a_terminal_that_goes_away_ends_no_run(tmp_path):
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        args = [*SMALL, "--environment", "Catch", "--out", tmp_path / "x"]
        process = subprocess.Popen(
            command(*args), cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal
        )
    said = b""
    while b"is recorded in" not in said:
        said += os.read(ours, 1_000)
    os.close(ours)
    assert process.wait(LIMIT) == 0
    assert summary(tmp_path / "x")["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["serial", "threads", "processes"])
def test_an_evaluation_without_an_end_is_named(tmp_path, launcher):
    until = "| evaluator has played "
    program = Started(tmp_path, "--launch", launcher, until=until)
    assert "see --max-episode-steps" in program.line
    program.send(signal.SIGINT)
    program.check_interrupted(within=5)


@pytest.mark.slow
def test_the_second_signal_ends_it_at_once(tmp_path):
    program = Started(tmp_path, until="node evaluator steps it")
    program.send(signal.SIGINT)
    program.wait_for_reply()
    program.send(signal.SIGINT)
    assert OVERDUE not in program.check_interrupted(within=1)


def interrupted(script, folder):
    """What a process says whose `main` interrupts itself, as the script has it."""
    (folder / "script.py").write_text(script)
    ended = subprocess.run(
        [sys.executable, folder / "script.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    return ended.stdout


def test_a_signal_is_not_lost_in_a_callback_that_drops_exceptions(tmp_path):
    script = """
import gc, os, signal, threading
from acmelike.experiments.process import run_process

def interrupt(phase, info):
    if phase == "start":
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            pass

def main():
    gc.callbacks.append(interrupt)
    gc.collect()
    gc.callbacks.clear()
    try:
        threading.Event().wait(4)
    except KeyboardInterrupt:
        print("here")
        return 130

run_process(main)
"""
    assert interrupted(script, tmp_path) == "here\n"


def test_a_signal_does_not_raise_in_an_import(tmp_path):
    module = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass
except KeyboardInterrupt:
    print("A C extension could have crashed.", flush=True)
"""
    (tmp_path / "extension.py").write_text(module)
    script = """
from acmelike.experiments.process import run_process

def main():
    import extension

run_process(main)
"""
    assert interrupted(script, tmp_path) == ""
