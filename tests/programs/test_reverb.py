"""Agents whose replay is a real Reverb, as processes: that short runs end well.

They run where Reverb is installed: `make test-reverb`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.engines import NEEDS_REVERB

ROOT = Path(__file__).parents[2]
DQN = [
    *("dqn", "--environment", "Catch", "--agent.replay.min-size", "50"),
    *("--agent.batch-size", "8", "--agent.hidden-sizes", "16"),
]
R2D2 = [
    *("r2d2", "--frame-stack", "2", "--agent.replay.min-size", "10"),
    *("--agent.batch-size", "4", "--agent.lstm-size", "8"),
]


@NEEDS_REVERB
@pytest.mark.parametrize(
    ("args", "launch"),
    [(DQN, "serial"), (DQN, "threads"), (R2D2, "serial")],
    ids=["dqn, serial", "dqn, threads", "r2d2, serial"],
)
def test_an_agent_learns_from_reverb(tmp_path, args, launch):
    program, *settings = args
    small = [
        *("--max-env-steps", "300", "--num-eval-episodes", "2"),
        *("--agent.num-updates-per-call", "2", "--out", tmp_path / "x"),
        *("--launch", launch, "--replay-engine", "reverb"),
    ]
    ended = subprocess.run(
        [sys.executable, "-m", f"programs.{program}", *settings, *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["learner_steps"] > 0
