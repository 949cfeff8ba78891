"""Evaluation: when it is due, whole episodes, and the policy that a run leaves."""
