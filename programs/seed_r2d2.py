"""R2D2 as in SEED: actors have environments only, and one node acts in all of them.

Espeholt et al. 2020, "SEED RL", arXiv 1910.06591.
"""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.experiments.config import TopologyName
from acmelike.experiments.run import run_program
from acmelike.programs.r2d2 import Config as R2D2Program
from acmelike.programs.r2d2 import make_builder


@dataclass(frozen=True, kw_only=True)
class Config(R2D2Program):
    """The flags of this program: those of R2D2, with other defaults.

    Attributes:
      topology: "central_inference", or another to compare with.
    """

    topology: TopologyName = "central_inference"


if __name__ == "__main__":
    run_program(Config, make_builder, name="seed_r2d2", description=__doc__ or "")
