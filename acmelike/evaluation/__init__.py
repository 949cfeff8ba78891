"""Evaluation: when a run evaluates, how it evaluates, and the policy that it saves."""
