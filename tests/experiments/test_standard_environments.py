"""MuJoCo and Atari by their usual names: some steps of training, where they are."""

import numpy as np
import pytest

import acmelike as al
from acmelike.experiments import recorded_run

SMALL = {
    "launch": "serial",
    "max_env_steps": 120,
    "evaluate_every": 60,
    "num_eval_episodes": 2,
    "num_actors": 1,
    "max_episode_steps": 20,
    "hidden_sizes": [16],
    "batch_size": 8,
    "num_updates_per_call": 2,
    "replay": {"size": 1_000, "min_size": 50, "samples_per_insert": 8.0},
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A node in a long compilation as its run ends is waited for, however slow."""
    monkeypatch.setattr(recorded_run, "GRACE_SECONDS", 60.0)


def trained(out, program, environment, **settings):
    """A run that has learned something."""
    run = al.train(program, environment, out=str(out), **SMALL, **settings)
    assert run.summary["status"] == "completed"
    assert run.summary["learner_steps"] > 0
    assert np.isfinite(run.metrics["loss"][-1])
    return run


@pytest.mark.slow
@pytest.mark.parametrize("program", ["sac", "td3"])
def test_a_cheetah_of_mujoco_is_trained(tmp_path, program):
    pytest.importorskip("mujoco", reason="needs MuJoCo: the extra [mujoco]")
    policy = trained(tmp_path, program, "HalfCheetah-v5").policy
    assert policy.spec.observations.shape == (17,)
    cheetah = policy.environment_factory(seed=0)
    step = cheetah.reset()
    for _ in range(20):
        action = policy.act(step.observation)
        assert action.shape == (6,) and np.all(np.abs(action) <= 1)
        step = cheetah.step(action)
    assert step.last() and step.discount == 1
    cheetah.close()


@pytest.mark.slow
def test_a_game_of_atari_is_trained_on_stacks_of_its_frames(tmp_path):
    for package in ("ale_py", "cv2"):
        pytest.importorskip(package, reason="needs Atari: the extra [atari]")
    policy = trained(tmp_path, "dqn", "ALE/Pong-v5", rewards={"clip": 1.0}).policy
    spec = policy.spec
    assert spec.num_frames == 4 and spec.observations.shape == (4, 84, 84, 1)
    assert spec.observations.dtype == np.uint8
    game = policy.environment_factory(seed=0)
    assert policy.act(game.reset().observation) in range(6)
    game.close()
