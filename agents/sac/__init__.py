"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from acmelike.agents.parts.settings import ReplaySettings
from acmelike.agents.sac.agent import SACBuilder, SACConfig

__all__ = ["ReplaySettings", "SACBuilder", "SACConfig"]
