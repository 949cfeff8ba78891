"""SAC learns Pendulum: the program as a process, with several seeds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.learning
@pytest.mark.parametrize("launcher", ["serial", "processes"])
def test_four_of_five_seeds_hold_the_pendulum_up(tmp_path, launcher):
    returns = []
    for seed in range(5):
        out = tmp_path / str(seed)
        args = ["--environment", "Pendulum-v1", "--launch", launcher]
        args += ["--max-env-steps", "20000", "--stop-at-return", "-200"]
        args += ["--seed", str(seed), "--no-live", "--out", str(out)]
        subprocess.run(
            [sys.executable, "-m", "programs.sac", *args], cwd=ROOT, check=True
        )
        summary = json.loads((out / "summary.json").read_text())
        assert summary["status"] == "completed"
        returns.append(summary["final_return"])
    assert sum(value >= -200 for value in returns) >= 4, returns
