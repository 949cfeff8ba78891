"""IMPALA as in SEED, from the command line; and the other agents in its topology."""

import importlib
import json
from functools import partial

import pytest

from acmelike.experiment import main

TINY = [
    *("--environment", "Catch", "--launch", "serial", "--num-eval-episodes", "2"),
    *("--max-env-steps", "200", "--agent.hidden-sizes", "8"),
]
DQN = ["--agent.min-replay-size", "50", "--agent.num-updates-per-call", "2"]
CENTRAL = ["--topology", "central_inference"]


def run(name, folder, *args):
    """Runs a program in this process; returns its configuration and its summary."""
    program = importlib.import_module(f"programs.{name}")
    status = partial(main, program.Config, program.make_builder)(
        name=name, description="", args=[*args, "--out", str(folder)]
    )
    assert status == 0
    files = (folder / "config.json", folder / "summary.json")
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("seed_impala", ["--agent.lstm-size", "4"]),
        ("ppo", [*CENTRAL, "--agent.unroll-length", "8"]),
        ("dqn", [*CENTRAL, *DQN]),
        ("apex_dqn", [*CENTRAL, *DQN]),
    ],
)
def test_agents_run_with_central_inference(tmp_path, name, args):
    config, summary = run(
        name, tmp_path / "run", *TINY, *args, "--inference-batch-size", "6"
    )
    assert config["topology"] == "central_inference"
    assert config["inference_batch_size"] == 6
    assert summary["status"] == "completed"
    assert summary["learner_steps"] > 0
