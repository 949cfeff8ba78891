"""R2D2: actors with a memory, prioritized replay of sequences, and a learner.

Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement
Learning", https://openreview.net/forum?id=r1lyTjAqYX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acmelike.agents.r2d2 import R2D2Config
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.run import run_program

if TYPE_CHECKING:
    from acmelike.agents.r2d2 import R2D2Builder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """The flags of this program.

    Attributes:
      environment: one in which memory is of use, unless you say otherwise.
      max_env_steps: the budget in environment steps, over all actors.
      agent: settings of R2D2.
    """

    environment: str = "CartPole-v1-positions"
    max_env_steps: int = 300_000
    agent: R2D2Config = field(default_factory=R2D2Config)


def make_builder(config: Config) -> R2D2Builder:
    """The agent; imported only when a run begins."""
    from acmelike.agents.r2d2 import R2D2Builder

    return R2D2Builder(config=config.agent)


if __name__ == "__main__":
    run_program(Config, make_builder, name="r2d2", description=__doc__ or "")
