"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""

from acmelike.agents.dqn.agent import DQNBuilder, DQNConfig

__all__ = ["DQNBuilder", "DQNConfig"]
