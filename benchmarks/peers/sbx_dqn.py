"""DQN of Stable-Baselines Jax on CartPole-v1, with the settings of its zoo."""

from __future__ import annotations

from typing import Any

from sbx import DQN
from stable_baselines3.common.env_util import make_vec_env

from benchmarks.judge import mean_returns
from benchmarks.peers.sbx_callbacks import Snapshots, Window

BUDGET = 50_000  # Environment steps; the schedule of exploration is a share of it.
TRAIN_FREQ = 256  # Environment steps between two bursts of updates.


def make_agent(seed: int, num_envs: int = 1) -> DQN:
    """The zoo's agent; the zoo has one environment."""
    return DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", num_envs, seed=seed),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        target_update_interval=10,
        train_freq=TRAIN_FREQ // num_envs,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
    )


def throughput(
    *, seed: int, first_step: int, last_step: int, num_envs: int = 1
) -> dict[str, Any]:
    """Environment steps and updates per second in a steady state."""
    window = Window(first_step, last_step)
    make_agent(seed, num_envs).learn(BUDGET, callback=window)
    return window.rates()


def learning(*, seed: int, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve; the policies are judged after the clock has stopped."""
    agent = make_agent(seed)
    snapshots = Snapshots(every, lambda model: model.policy.qf_state.params)
    agent.learn(env_steps, callback=snapshots)
    policy = agent.policy

    def acting_with(parameters: Any) -> Any:
        state = policy.qf_state.replace(params=parameters)
        return lambda observations: policy.select_action(state, observations)

    policies = [acting_with(parameters) for parameters in snapshots.parameters]
    return {
        "env_steps": snapshots.steps,
        "seconds": snapshots.seconds,
        "mean_returns": mean_returns("CartPole-v1", policies, seed=seed),
    }
