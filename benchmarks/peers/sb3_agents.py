"""DQN, A2C and SAC of Stable-Baselines3, with the settings that acmelike's get."""

from __future__ import annotations

import copy
from typing import Any

import ale_py
import gymnasium
from stable_baselines3 import A2C, DQN, SAC
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from benchmarks.judge import mean_returns
from benchmarks.peers.sbx_callbacks import Snapshots, Window

gymnasium.register_envs(ale_py)

CHEETAH = "HalfCheetah-v5"


def make_pong(num_envs: int, seed: int) -> Any:
    """Pong with the preprocessing of acmelike's `ALE/Pong-v5`.

    Its rewards are -1, 0 and 1, so that nothing would be clipped.
    """
    game = {"frameskip": 1, "repeat_action_probability": 0.25}
    wrapper = {"noop_max": 0, "terminal_on_life_loss": False, "clip_reward": False}
    envs = make_atari_env(
        "ALE/Pong-v5", num_envs, seed=seed, env_kwargs=game, wrapper_kwargs=wrapper
    )
    return VecFrameStack(envs, 4)


def make_agent(agent: str, seed: int) -> Any:
    """The agent: "dqn", "a2c" or "sac"."""
    if agent == "dqn":
        return DQN(
            "CnnPolicy",
            make_pong(4, seed),
            buffer_size=20_000,
            learning_starts=1_000,
            batch_size=32,
            train_freq=1,  # Four environment steps.
            gradient_steps=1,
            seed=seed,
        )
    if agent == "a2c":
        return A2C("CnnPolicy", make_pong(8, seed), n_steps=20, seed=seed)
    return SAC(
        "MlpPolicy",
        make_vec_env(CHEETAH, 1, seed=seed),
        learning_rate=3e-4,
        batch_size=256,
        learning_starts=1_000,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
    )


def throughput(
    *, agent: str, seed: int, first_step: int, last_step: int
) -> dict[str, Any]:
    """Environment steps and updates per second in a steady state; a trial."""
    window = Window(first_step, last_step)
    make_agent(agent, seed).learn(2 * last_step, callback=window)
    return window.rates()


def learning(*, seed: int, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve of SAC, judged after the clock has stopped; a trial."""
    model = make_agent("sac", seed)
    snapshots = Snapshots(every, lambda model: copy.deepcopy(model.actor.state_dict()))
    model.learn(env_steps, callback=snapshots)

    def acting_with(parameters: Any) -> Any:
        def act(observations: Any) -> Any:
            model.actor.load_state_dict(parameters)
            return model.predict(observations, deterministic=True)[0]

        return act

    policies = [acting_with(parameters) for parameters in snapshots.parameters]
    return {
        "env_steps": snapshots.steps,
        "seconds": snapshots.seconds,
        "mean_returns": mean_returns(CHEETAH, policies, seed=seed),
    }
