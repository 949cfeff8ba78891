"""DQN: actors, prioritized replay, a learner, an evaluator and a coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.agents.dqn import DQNConfig
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.run import run_program

if TYPE_CHECKING:
    from acmelike.agents.dqn import DQNBuilder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      agent: settings of DQN.
    """

    agent: DQNConfig = field(default_factory=DQNConfig)


def make_builder(config: Config) -> DQNBuilder:
    """The agent; imported only when a run begins."""
    from acmelike.agents.dqn import DQNBuilder

    return DQNBuilder(config=config.agent)


if __name__ == "__main__":
    run_program(Config, make_builder, name="dqn", description=__doc__ or "")
