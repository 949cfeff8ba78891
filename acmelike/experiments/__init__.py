"""From a command line to a finished run."""

from __future__ import annotations

from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.run import run_program

__all__ = ["ExperimentConfig", "TrainingProgram", "run_program"]
