"""DQN of Stable-Baselines Jax on CartPole-v1, with the settings of its zoo."""

from __future__ import annotations

import time
from typing import Any

from sbx import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from benchmarks.judge import mean_returns

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


class Window(BaseCallback):
    """Reads clock and counts when a burst of updates is over, at two moments.

    Whole cycles of steps and updates lie between them.
    """

    def __init__(self, first_step: int, last_step: int):
        super().__init__()
        self._steps = [first_step, last_step]
        self.readings: list[tuple[float, int, int]] = []

    def _on_rollout_start(self) -> None:
        due = len(self.readings)
        if due < len(self._steps) and self.num_timesteps >= self._steps[due]:
            updates = self.model._n_updates
            self.readings.append((time.perf_counter(), self.num_timesteps, updates))

    def _on_step(self) -> bool:
        return len(self.readings) < len(self._steps)


def throughput(
    *, seed: int, first_step: int, last_step: int, num_envs: int = 1
) -> dict[str, Any]:
    """Environment steps and updates per second in a steady state."""
    window = Window(first_step, last_step)
    make_agent(seed, num_envs).learn(BUDGET, callback=window)
    (start, steps_0, updates_0), (end, steps_1, updates_1) = window.readings
    return {
        "env_steps_per_second": (steps_1 - steps_0) / (end - start),
        "updates_per_second": (updates_1 - updates_0) / (end - start),
        "env_steps": [steps_0, steps_1],
        "seconds": end - start,
    }


class Snapshots(BaseCallback):
    """Keeps the parameters every so many steps; that takes no time, nothing is copied.

    JAX's arrays never change, so a reference is as good as a copy.
    """

    def __init__(self, every: int):
        super().__init__()
        self._every = every
        self._started: float | None = None
        self.steps: list[int] = []
        self.seconds: list[float] = []
        self.parameters: list[Any] = []

    def _on_step(self) -> bool:
        now = time.perf_counter()
        if self._started is None:
            self._started = now
        if self.num_timesteps % self._every == 0:
            self.steps.append(self.num_timesteps)
            self.seconds.append(now - self._started)
            self.parameters.append(self.model.policy.qf_state.params)
        return True


def learning(*, seed: int, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve; the policies are judged after the clock has stopped."""
    agent, snapshots = make_agent(seed), Snapshots(every)
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
