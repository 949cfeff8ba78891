"""Recurrent Replay Distributed DQN: an LSTM that learns from replayed sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.r2d2.agent import R2D2Builder, R2D2Config

_HOMES = {
    "OptimizerSettings": "acmelike.agents.parts.settings",
    "R2D2Builder": "acmelike.agents.r2d2.agent",
    "R2D2Config": "acmelike.agents.r2d2.agent",
    "ReplaySettings": "acmelike.agents.parts.settings",
}

__all__ = ["OptimizerSettings", "R2D2Builder", "R2D2Config", "ReplaySettings"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
