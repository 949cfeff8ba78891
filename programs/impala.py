"""IMPALA: actors, a queue of unrolls, a learner, an evaluator and a coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.agents.impala import ImpalaConfig
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.run import run_program

if TYPE_CHECKING:
    from acmelike.agents.impala import ImpalaBuilder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      max_env_steps: the budget in environment steps, over all actors.
      agent: settings of IMPALA.
    """

    max_env_steps: int = 400_000
    agent: ImpalaConfig = field(default_factory=ImpalaConfig)


def make_builder(config: Config) -> ImpalaBuilder:
    """The agent; imported only when a run begins."""
    from acmelike.agents.impala import ImpalaBuilder

    return ImpalaBuilder(config=config.agent)


if __name__ == "__main__":
    run_program(Config, make_builder, name="impala", description=__doc__ or "")
