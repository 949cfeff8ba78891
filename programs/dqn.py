"""DQN: actors, prioritized replay, a learner, an evaluator and a coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.experiment import run_program
from acmelike.experiment_config import ExperimentConfig
from agents.dqn.config import DQNConfig

if TYPE_CHECKING:
    from agents.dqn.builder import DQNBuilder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      agent: settings of DQN.
    """

    agent: DQNConfig = field(default_factory=DQNConfig)


def make_builder(config: Config) -> DQNBuilder:
    """The agent; imported only when a run begins."""
    from agents.dqn.builder import DQNBuilder

    return DQNBuilder(config=config.agent)


if __name__ == "__main__":
    run_program(Config, make_builder, name="dqn", description=__doc__ or "")
