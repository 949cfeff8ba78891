"""The program as a process: its defaults, and that a short run ends well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from acmelike.programs.r2d2 import PROGRAM
from tests.programs.said import complaints

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_run_that_ends_well(tmp_path):
    args = (
        *("--launch", "serial", "--max-env-steps", "200", "--num-eval-episodes", "2"),
        *("--agent.replay.min-size", "10", "--agent.num-updates-per-call", "2"),
        *("--agent.batch-size", "4", "--agent.lstm-size", "8"),
    )
    ended = subprocess.run(
        [sys.executable, "-m", "programs.r2d2", *args, "--out", tmp_path / "x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, complaints(ended)) == (0, "")
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert summary["status"] == "completed" and summary["learner_steps"] > 0
    assert (
        summary["environment"] == PROGRAM.config.environment == "CartPole-v1-positions"
    )
