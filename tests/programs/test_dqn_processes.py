"""The program in processes: what is left when one of them, or the launcher, dies."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARGS = [
    *(
        "--environment",
        "Catch",
        "--launch",
        "processes",
        "--max-env-steps",
        "100000000",
    ),
    *("--agent.replay.min-size", "50", "--agent.num-updates-per-call", "2"),
    *("--agent.batch-size", "8", "--agent.hidden-sizes", "16"),
]
SECONDS = 5.0


class Program:
    """A running DQN on Catch that would go on for ever."""

    def __init__(self, folder, *args):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "programs.dqn", *ARGS, *args, "--out", folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for_line("updates,")
        self.children = children_of(self.process.pid)
        self.ends = [os.pidfd_open(pid) for pid in self.children.values()]

    def wait_for_line(self, words):
        """Returns when it has printed a line with these words."""
        assert any(words in line for line in self.process.stdout)

    def check_all_gone(self, began):
        """Every child has ended, within the time that is allowed."""
        for fd in self.ends:
            poll = select.poll()
            poll.register(fd, select.POLLIN)  # Readable when the process has ended.
            left = SECONDS - (time.monotonic() - began)
            assert poll.poll(max(0.0, left) * 1000), "a child outlived its program"
            os.close(fd)

    def sockets(self):
        """Sockets of this run's processes that can still be connected to."""
        lines = Path("/proc/net/unix").read_text().splitlines()
        pids = tuple(f"acmelike-{pid}-" for pid in self.children.values())
        return [line for line in lines if any(pid in line for pid in pids)]

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())


def children_of(pid):
    """The processes of the nodes, by node."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"acmelike.launchers.processes" in words:
                found[words[-2].decode()] = int(child)
    return found


@pytest.fixture
def program(tmp_path, request):
    program = Program(tmp_path / "x", *getattr(request, "param", ()))
    yield program
    program.process.kill()
    program.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "victim"),
    [((), "replay"), ((), "learner"), (("--max-restarts", "0"), "actor/0")],
    indirect=["program"],
)
def test_a_killed_node_ends_the_run_and_is_named(program, victim):
    assert set(program.children) == {
        *("actor/0", "actor/1", "coordinator", "evaluator", "learner", "replay")
    }
    began = time.monotonic()
    os.kill(program.children[victim], signal.SIGKILL)
    _, errors = program.process.communicate(timeout=SECONDS)
    program.check_all_gone(began)
    assert program.process.returncode == 1
    last = errors.splitlines()[-1]
    assert victim in last
    assert "SIGKILL" in last
    assert program.summary()["status"] == "failed"
    assert victim in program.summary()["error"]


@pytest.mark.slow
def test_actors_and_the_evaluator_are_started_again(program):
    os.kill(program.children["actor/0"], signal.SIGKILL)
    os.kill(program.children["actor/1"], signal.SIGSTOP)  # It is found to do nothing.
    os.kill(program.children["evaluator"], signal.SIGKILL)
    program.wait_for_line(" 3 restarts")
    later = children_of(program.process.pid)
    changed = {name for name in later if later[name] != program.children[name]}
    assert changed == {"actor/0", "actor/1", "evaluator"}
    for fd in program.ends:
        os.close(fd)
    # From now on these are its processes.
    program.children = later
    program.ends = [os.pidfd_open(pid) for pid in later.values()]
    for _ in range(2):
        program.wait_for_line("updates,")
    began = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    program.process.communicate(timeout=SECONDS)
    program.check_all_gone(began)
    assert program.process.returncode == 130
    assert program.summary()["num_restarts"] == 3
    assert not program.sockets()


@pytest.mark.slow
def test_a_killed_launcher_takes_its_children_with_it(program):
    began = time.monotonic()
    program.process.kill()
    program.check_all_gone(began)
    assert program.summary()["status"] == "interrupted"
    assert not program.sockets()


def test_an_interrupt_ends_every_process(program):
    began = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    program.process.communicate(timeout=SECONDS)
    program.check_all_gone(began)
    assert program.process.returncode == 130
    summary = program.summary()
    assert summary["status"] == "interrupted"
    assert summary["env_steps"] > 0
    assert 0 < summary["actor_blocked_fraction"] < 1
    assert not program.sockets()


@pytest.mark.slow
def test_a_second_interrupt_ends_it_at_once(program):
    os.kill(program.children["learner"], signal.SIGSTOP)  # It will not end by itself.
    program.process.send_signal(signal.SIGINT)
    assert "once more" in program.process.stderr.readline()
    began = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    _, errors = program.process.communicate(timeout=SECONDS)
    assert program.process.returncode == 130
    assert time.monotonic() - began < 1
    assert "after the end of the run" not in errors  # It gave nobody time to end in.
    program.check_all_gone(began)
