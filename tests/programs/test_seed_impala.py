"""IMPALA as in SEED, from the command line; and the other agents in its topology."""

import json

import pytest

from acmelike.__main__ import main

TINY = [
    *("--launch", "serial", "--num-eval-episodes", "2", "--max-env-steps", "200"),
    *("--num-actors", "2", "--num-envs-per-actor", "4"),
]
SMALL = ["--environment", "Catch", "--agent.hidden-sizes", "8"]
SEQUENCES = [
    *("--environment", "Catch", "--agent.hidden-sizes", "8", "--agent.lstm-size", "8"),
    *("--agent.sequence-length", "6", "--agent.overlap", "3", "--agent.burn-in", "2"),
    *("--agent.replay.min-size", "10", "--agent.batch-size", "8"),
    *("--agent.num-updates-per-call", "1", "--agent.replay.samples-per-insert", "4"),
]
DQN = ["--agent.replay.min-size", "50", "--agent.num-updates-per-call", "2"]
CENTRAL = ["--topology", "central_inference"]


def run(name, folder, *args):
    """Runs a program in this process; returns its configuration and its summary."""
    assert main(["train", name, *args, "--out", str(folder)]) == 0
    files = (folder / "config.json", folder / "summary.json")
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("seed_impala", [*SMALL, "--agent.lstm-size", "4"]),
        pytest.param("seed_r2d2", SEQUENCES, marks=pytest.mark.slow),
        pytest.param(
            "ppo",
            [*CENTRAL, *SMALL, "--agent.unroll-length", "8"],
            marks=pytest.mark.slow,
        ),
        pytest.param("dqn", [*CENTRAL, *SMALL, *DQN], marks=pytest.mark.slow),
        pytest.param("apex_dqn", [*CENTRAL, *SMALL, *DQN], marks=pytest.mark.slow),
        pytest.param(
            "sac", [*CENTRAL, *DQN, "--agent.hidden-sizes", "8"], marks=pytest.mark.slow
        ),
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
