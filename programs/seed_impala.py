"""IMPALA as in SEED: actors have environments only, and one node acts in all of them.

Espeholt et al. 2020, "SEED RL", arXiv 1910.06591.
"""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.experiments.config import TopologyName
from acmelike.experiments.run import run_program
from acmelike.programs.impala import Config as ImpalaProgram
from acmelike.programs.impala import make_builder


@dataclass(frozen=True, kw_only=True)
class Config(ImpalaProgram):
    """The flags of this program: those of IMPALA, with other defaults.

    Attributes:
      topology: "central_inference", or another to compare with.
    """

    topology: TopologyName = "central_inference"


if __name__ == "__main__":
    run_program(Config, make_builder, name="seed_impala", description=__doc__ or "")
