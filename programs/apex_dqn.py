"""Ape-X DQN: four actors that give their transitions first priorities.

Horgan et al. 2018, "Distributed Prioritized Experience Replay", arXiv 1803.00933.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from acmelike.agents.dqn import DQNConfig
from acmelike.experiments.run import run_program
from acmelike.programs.dqn import Config as DQNProgram
from acmelike.programs.dqn import make_builder


@dataclass(frozen=True, kw_only=True)
class Config(DQNProgram):
    """The flags of this program: those of DQN, with other defaults.

    Attributes:
      num_actors: how many actor nodes.
      agent: settings of DQN.
    """

    num_actors: int = 4
    agent: DQNConfig = field(default_factory=partial(DQNConfig, actor_priorities=True))


if __name__ == "__main__":
    run_program(Config, make_builder, name="apex_dqn", description=__doc__ or "")
