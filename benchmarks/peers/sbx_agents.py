"""PPO and SAC of Stable-Baselines Jax, with the settings of acmelike's programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbx import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule

from benchmarks.judge import mean_returns
from benchmarks.peers.sbx_callbacks import Snapshots, Window

ENVIRONMENTS = {"ppo": "CartPole-v1", "sac": "Pendulum-v1"}
BUDGETS = {"ppo": 100_000, "sac": 20_000}


def make_agent(
    agent: str,
    seed: int,
    *,
    env_steps: int,
    learning_rate: Mapping[str, float] | None,
    burst: int = 1,
) -> Any:
    """The agent.

    Args:
      agent: "ppo" or "sac".
      seed: of everything.
      env_steps: the budget that it is going to be given.
      learning_rate: for PPO, its "start", its "end", and the environment steps between.
      burst: for SAC, environment steps between two calls for as many updates.
    """
    environment = ENVIRONMENTS[agent]
    if learning_rate is not None:
        # Its schedule knows shares of the budget only; the end may be beyond it.
        decay = learning_rate["env_steps"] / env_steps
        return PPO(
            "MlpPolicy",
            make_vec_env(environment, 8, seed=seed),
            learning_rate=LinearSchedule(
                learning_rate["start"], learning_rate["end"], decay
            ),
            n_steps=32,
            batch_size=128,
            n_epochs=10,
            gamma=0.98,
            gae_lambda=0.8,
            vf_coef=0.25,  # Of squares of errors; acmelike has 0.5 of their halves.
            policy_kwargs={"net_arch": [64, 64]},
            seed=seed,
        )
    return SAC(
        "MlpPolicy",
        make_vec_env(environment, 1, seed=seed),
        learning_rate=1e-3,
        batch_size=256,
        train_freq=burst,
        gradient_steps=burst,
        learning_starts=1_000,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
    )


def throughput(
    *,
    agent: str,
    seed: int,
    learning_rate: Mapping[str, float] | None,
    first_step: int,
    last_step: int,
    burst: int = 1,
) -> dict[str, Any]:
    """Environment steps and updates per second in a steady state."""
    window, budget = Window(first_step, last_step), BUDGETS[agent]
    model = make_agent(
        agent, seed, env_steps=budget, learning_rate=learning_rate, burst=burst
    )
    model.learn(budget, callback=window)
    return window.rates()


def learning(
    *,
    agent: str,
    seed: int,
    learning_rate: Mapping[str, float] | None,
    env_steps: int,
    every: int,
) -> dict[str, Any]:
    """The learning curve; the policies are judged after the clock has stopped."""
    model = make_agent(agent, seed, env_steps=env_steps, learning_rate=learning_rate)
    snapshots = Snapshots(every, lambda model: model.policy.actor_state.params)
    model.learn(env_steps, callback=snapshots)
    policy = model.policy

    def acting_with(parameters: Any) -> Any:
        state = policy.actor_state.replace(params=parameters)

        def act(observations: Any) -> Any:
            actions = policy.select_action(state, observations)
            # SAC's are those of a range from -1 to 1.
            return policy.unscale_action(actions) if agent == "sac" else actions

        return act

    policies = [acting_with(parameters) for parameters in snapshots.parameters]
    return {
        "env_steps": snapshots.steps,
        "seconds": snapshots.seconds,
        "mean_returns": mean_returns(ENVIRONMENTS[agent], policies, seed=seed),
    }
