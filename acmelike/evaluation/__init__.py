"""Evaluation: when a run evaluates, how it evaluates, and the policy that it saves."""

from acmelike.evaluation.coordinator import Coordinator
from acmelike.evaluation.evaluator import Evaluator
from acmelike.evaluation.schedule import Goal

__all__ = ["Coordinator", "Evaluator", "Goal"]
