"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.sac.agent import SACBuilder, SACConfig

_NAMES = {
    "acmelike.agents.parts.settings": ("OptimizerSettings", "ReplaySettings"),
    "acmelike.agents.sac.agent": ("SACBuilder", "SACConfig"),
}
__all__ = ["OptimizerSettings", "ReplaySettings", "SACBuilder", "SACConfig"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
