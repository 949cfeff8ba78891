"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from acmelike.agents.sac.agent import SACBuilder, SACConfig

__all__ = ["SACBuilder", "SACConfig"]
