"""Evaluation: when it is due, whole episodes, and the policy that a run leaves."""

from acmelike.evaluation.coordinator import Coordinator, Goal
from acmelike.evaluation.evaluator import Evaluator

__all__ = ["Coordinator", "Evaluator", "Goal"]
