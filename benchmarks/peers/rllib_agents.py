"""PPO and IMPALA of RLlib, with the settings of acmelike's programs."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

# Without Ray's reports, which would be of this machine's use and cost time.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import gymnasium
import numpy as np
import ray
import torch
from gymnasium.wrappers import TransformReward
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.tune.registry import register_env

from benchmarks.judge import mean_returns

ENVIRONMENT, PIXELS = "CartPole-v1", "MinAtar/Breakout-v1"
REWARD_SCALES = {"impala": 0.1, "pixels": 0.1}
STEPS = "num_env_steps_sampled_lifetime"


def make_algorithm(
    algorithm: str, *, seed: int, learning_rate: Mapping[str, float], num_runners: int
) -> Any:
    """The algorithm, eight environments in all.

    Args:
      algorithm: "ppo", "impala" or "pixels", which is IMPALA too.
      seed: of everything.
      learning_rate: its "start", its "end", and the environment steps between.
      num_runners: processes that act.
    """
    config = {"ppo": _ppo, "impala": _impala, "pixels": _pixels}[algorithm]()
    # Steps are those sampled so far, whatever was learned from.
    schedule = [
        [0, learning_rate["start"]],
        [round(learning_rate["env_steps"]), learning_rate["end"]],
    ]
    register_env("learnt", partial(_make_environment, algorithm))
    config = (
        config.environment("learnt")
        .env_runners(
            num_env_runners=num_runners,
            num_envs_per_env_runner=8 // max(num_runners, 1),
        )
        .training(lr=schedule)
        .learners(num_learners=0)
        .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)
        .debugging(seed=seed, log_level="ERROR")
    )
    return config.build_algo()


def _make_environment(algorithm: str, _: Any) -> gymnasium.Env[Any, Any]:
    if algorithm == "pixels" and PIXELS not in gymnasium.registry:
        from minatar.gym import register_envs

        register_envs()
    environment = gymnasium.make(PIXELS if algorithm == "pixels" else ENVIRONMENT)
    scale = REWARD_SCALES.get(algorithm)
    if scale is None:
        return environment
    return TransformReward(environment, lambda reward: scale * float(reward))


def _ppo() -> Any:
    model = DefaultModelConfig(
        fcnet_hiddens=[64, 64], fcnet_activation="tanh", vf_share_layers=False
    )
    return (
        PPOConfig()
        .env_runners(rollout_fragment_length=32)
        .training(
            gamma=0.98,
            lambda_=0.8,
            clip_param=0.2,
            vf_clip_param=float("inf"),
            vf_loss_coeff=0.25,  # Of squares of errors; acmelike has 0.5 of halves.
            entropy_coeff=0.0,
            use_kl_loss=False,
            grad_clip=0.5,
            num_epochs=10,
            train_batch_size_per_learner=256,
            minibatch_size=128,
        )
        .rl_module(model_config=model)
    )


def _impala() -> Any:
    model = DefaultModelConfig(
        fcnet_hiddens=[64, 64], fcnet_activation="relu", vf_share_layers=True
    )
    return _impala_settings().rl_module(model_config=model)


def _pixels() -> Any:
    """IMPALA on images."""
    from benchmarks.peers.rllib_pixels import ConvModule

    return _impala_settings().rl_module(
        rl_module_spec=RLModuleSpec(module_class=ConvModule)
    )


def _impala_settings() -> Any:
    return (
        IMPALAConfig()
        .env_runners(rollout_fragment_length=20)
        .training(
            gamma=0.99,
            entropy_coeff=0.01,
            vf_loss_coeff=0.5,  # Of halves of squares, as acmelike's.
            grad_clip=40.0,
            train_batch_size_per_learner=160,
        )
    )


def throughput(*, first_step: int, last_step: int, **settings: Any) -> dict[str, Any]:
    """Environment steps per second in a steady state; see `make_algorithm`."""
    with _training(**settings) as trainer:
        start, steps_0 = _train_past(trainer, first_step)
        end, steps_1 = _train_past(trainer, last_step)
    return {
        "env_steps_per_second": (steps_1 - steps_0) / (end - start),
        "env_steps": [steps_0, steps_1],
        "seconds": end - start,
    }


def learning(
    *, seed: int, env_steps: int, every: int, **settings: Any
) -> dict[str, Any]:
    """The learning curve; the policies are judged after the clock has stopped."""
    steps, seconds, weights = [], [], []
    with _training(seed=seed, **settings) as trainer:
        module = trainer.get_module()
        started = time.perf_counter()
        for due in range(every, env_steps + 1, every):
            moment, reached = _train_past(trainer, due)
            steps.append(reached)
            seconds.append(moment - started)
            learned = trainer.learner_group.get_weights()["default_policy"]
            weights.append({name: np.array(array) for name, array in learned.items()})

    def acting_with(state: dict[str, np.ndarray]) -> Any:
        def act(observations: np.ndarray) -> np.ndarray:
            module.set_state(state)
            with torch.no_grad():
                batch = {"obs": torch.as_tensor(observations)}
                logits = module.forward_inference(batch)["action_dist_inputs"]
            return logits.argmax(dim=-1).numpy()

        return act

    policies = [acting_with(state) for state in weights]
    return {
        "env_steps": steps,
        "seconds": seconds,
        "mean_returns": mean_returns(ENVIRONMENT, policies, seed=seed),
    }


@contextmanager
def _training(**settings: Any) -> Iterator[Any]:
    """The algorithm on a Ray of its own, until it is left; no file of both remains."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            address="local",  # Not another Ray of this machine.
            # More than there are: its processes wait for each other anyway.
            num_cpus=8,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=folder,
        )
        trainer = make_algorithm(**settings)
        try:
            yield trainer
        finally:
            trainer.stop()
            # RLlib puts it into the home folder, and has no setting for that.
            shutil.rmtree(trainer.logdir, ignore_errors=True)
            ray.shutdown()


def _train_past(trainer: Any, env_steps: int) -> tuple[float, int]:
    """Trains until there are so many steps; the clock and the count then."""
    while True:
        count = int(trainer.train().get(STEPS, 0))
        if count >= env_steps:
            return time.perf_counter(), count
