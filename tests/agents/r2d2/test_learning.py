"""CartPole without velocities: balanced with a memory, and not without."""

import itertools

import pytest

from acmelike.coordinator import Goal
from acmelike.environments import make_environment_factory
from acmelike.launchers import launch
from acmelike.run_folder import read_json_lines
from acmelike.topologies import Layout, make_actor_learner
from agents.dqn.builder import DQNBuilder
from agents.dqn.config import DQNConfig
from agents.r2d2.builder import R2D2Builder
from agents.r2d2.config import R2D2Config


def train(folder, builder, *, seed, max_env_steps):
    """Trains as the programs do; returns the means of the evaluations."""
    metrics = folder / "metrics.jsonl"
    system = make_actor_learner(
        builder,
        make_environment_factory("CartPole-v1-positions"),
        Layout(num_actors=2, num_envs_per_actor=4),
        Goal(max_env_steps=max_env_steps, stop_at_return=400.0),
        seed=seed,
        metrics=str(metrics),
    )
    with launch(system.program, "serial") as run:
        run.wait()
    lines = read_json_lines(metrics)
    return [line["mean_return"] for line in lines if line["event"] == "evaluation"]


@pytest.mark.learning
@pytest.mark.parametrize("seed", range(3))
def test_r2d2_balances_the_pole(tmp_path, seed):
    builder = R2D2Builder(config=R2D2Config())
    returns = train(tmp_path, builder, seed=seed, max_env_steps=300_000)
    assert max(map(min, itertools.pairwise(returns))) >= 400


@pytest.mark.learning
def test_dqn_does_not(tmp_path):
    builder = DQNBuilder(config=DQNConfig())
    returns = train(tmp_path, builder, seed=0, max_env_steps=100_000)
    assert max(returns) < 200
