"""PPO: actors in lock-step with a learner, an evaluator and a coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.agents.ppo import PPOConfig
from acmelike.experiments.config import ExperimentConfig, TopologyName
from acmelike.experiments.run import run_program

if TYPE_CHECKING:
    from acmelike.agents.ppo import PPOBuilder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      topology: "synchronous", or another: then some of what it learns from is older
        than its parameters.
      agent: settings of PPO.
    """

    topology: TopologyName = "synchronous"
    agent: PPOConfig = field(default_factory=PPOConfig)


def make_builder(config: Config) -> PPOBuilder:
    """The agent; imported only when a run begins."""
    from acmelike.agents.ppo import PPOBuilder

    num_envs = config.num_actors * config.num_envs_per_actor
    return PPOBuilder(config=config.agent, batch_size=num_envs)


if __name__ == "__main__":
    run_program(Config, make_builder, name="ppo", description=__doc__ or "")
