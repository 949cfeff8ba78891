"""TD3: an actor, replay, a learner, an evaluator and a coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.agents.td3 import TD3Config
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.run import run_program

if TYPE_CHECKING:
    from acmelike.agents.td3 import TD3Builder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      environment: the id of a gymnasium environment with continuous actions, or
        "module:id" for one that the module registers.
      num_actors: how many actor nodes.
      num_envs_per_actor: how many environments each actor steps as one vector.
      learner_cpus: cores that the learner may keep busy under "processes".
      max_env_steps: the budget in environment steps, over all actors.
      num_eval_episodes: episodes in an evaluation; Pendulum's differ by their start.
      agent: settings of TD3.
    """

    environment: str = "Pendulum-v1"
    num_actors: int = 1
    num_envs_per_actor: int = 1
    learner_cpus: int = 2
    max_env_steps: int = 20_000
    num_eval_episodes: int = 50
    agent: TD3Config = field(default_factory=TD3Config)


def make_builder(config: Config) -> TD3Builder:
    """The agent; imported only when a run begins."""
    from acmelike.agents.td3 import TD3Builder

    return TD3Builder(config=config.agent)


if __name__ == "__main__":
    run_program(Config, make_builder, name="td3", description=__doc__ or "")
