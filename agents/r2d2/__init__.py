"""Recurrent Replay Distributed DQN: an LSTM that learns from replayed sequences."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.r2d2.agent import R2D2Builder, R2D2Config

_NAMES = {
    "acmelike.agents.parts.settings": ("OptimizerSettings", "ReplaySettings"),
    "acmelike.agents.r2d2.agent": ("R2D2Builder", "R2D2Config"),
}
__all__ = ["OptimizerSettings", "R2D2Builder", "R2D2Config", "ReplaySettings"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
