"""A learner that is PyTorch's, in the graph and with the actors of any other agent.

The environment that `make torch-env` makes has no JAX at all.
"""

import json

import numpy as np
import pytest

from acmelike import Experiment, Goal, Layout, launch, load_policy, make_synchronous
from acmelike.environments import CatchFactory
from acmelike.testing import AgentContract
from tests.torch_learner.agent import TorchBuilder

# Chance is -1/3; two evaluations in a row have to reach the score within the budget.
# In processes, actors make ten thousands of steps while an evaluation is played.
SCORE, BUDGETS = 0.9, {"serial": 40_000, "processes": 400_000}


def train(folder, launcher):
    """Runs to the score or the end; returns why, the records, the policy."""
    folder.mkdir()
    experiment = Experiment(
        builder=TorchBuilder(batch_size=16),
        environment_factory=CatchFactory(rows=5, columns=3),
        layout=Layout(num_actors=2, num_envs_per_actor=8),
        goal=Goal(
            max_env_steps=BUDGETS[launcher],
            stop_at_return=SCORE,
            evaluate_every=2_000,
        ),
        metrics=str(folder / "metrics.jsonl"),
        policy=str(folder / "policy.zip"),
    )
    system = make_synchronous(experiment)
    with launch(system.program, launcher) as running:
        reason = running.wait(timeout=100)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) | {"time": None} for line in lines]
    return reason, records, load_policy(folder)


@pytest.mark.parametrize("launcher", ["serial", "processes"])
def test_it_learns_catch(tmp_path, launcher):
    reason, records, policy = train(tmp_path / "run", launcher)
    assert reason == f"the return reached {SCORE} twice in a row"
    assert records[-1]["mean_return"] >= SCORE
    # The ball is at the right, and so the paddle has to go there.
    board = np.zeros((5, 3), np.float32)
    board[2, 2] = board[-1, 1] = 1
    assert policy.act(board) == 2


def test_two_serial_runs_are_equal(tmp_path):
    found = [train(tmp_path / name, "serial")[1] for name in ("first", "second")]
    assert found[0] == found[1]


CONTRACT = AgentContract(
    TorchBuilder(batch_size=8, unroll_length=8), CatchFactory(rows=5, columns=3)
)


@pytest.mark.parametrize("check", CONTRACT.checks(), ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_agents(check):
    check()
