"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""

from acmelike.agents.dqn.agent import DQNBuilder, DQNConfig
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

__all__ = ["DQNBuilder", "DQNConfig", "OptimizerSettings", "ReplaySettings"]
