"""SAC as a process: a run that ends well, and an environment that is none for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.said import complaints

ROOT = Path(__file__).parents[2]
SMALL = [
    *("--max-env-steps", "300", "--num-eval-episodes", "2", "--launch", "serial"),
    *("--agent.replay.min-size", "250", "--agent.num-updates-per-call", "2"),
    *("--agent.batch-size", "8", "--agent.replay.samples-per-insert", "8"),
    *("--agent.hidden-sizes", "8"),
]


def run(*args):
    return subprocess.run(
        [sys.executable, "-m", "programs.sac", *SMALL, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_it_trains_on_pendulum_unless_told_otherwise(tmp_path):
    ended = run("--out", tmp_path, "--stop-at-return", "-1")
    assert (ended.returncode, complaints(ended)) == (0, "")
    assert ended.stdout.startswith("sac on Pendulum-v1, launched by serial, seed 0;")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["env_steps"] >= 300 and summary["learner_steps"] > 0
    # Every one of 200 steps costs at most 17.
    assert -200 * 17 <= summary["final_return"] < 0


def test_discrete_actions_are_refused_in_one_line(tmp_path):
    ended = run("--environment", "Catch", "--out", tmp_path / "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"error: sac needs continuous actions; .+\n", ended.stderr)
    assert not any(tmp_path.iterdir())
