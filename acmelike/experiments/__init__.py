"""From a command line, or one call, to a finished run."""

from __future__ import annotations

from acmelike.experiments.command import run_program
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.program import TrainingProgram

__all__ = ["ExperimentConfig", "TrainingProgram", "run_program"]
