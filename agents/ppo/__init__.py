"""Proximal policy optimisation: in lock-step, on unrolls of one version."""

from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.agents.ppo.agent import PPOBuilder, PPOConfig

__all__ = ["OptimizerSettings", "PPOBuilder", "PPOConfig"]
