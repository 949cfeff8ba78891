"""Recurrent Replay Distributed DQN: an LSTM that learns from replayed sequences."""

from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.agents.r2d2.agent import R2D2Builder, R2D2Config

__all__ = ["OptimizerSettings", "R2D2Builder", "R2D2Config", "ReplaySettings"]
