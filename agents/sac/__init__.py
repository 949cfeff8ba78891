"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.sac.agent import SACBuilder, SACConfig

_AGENT, _SETTINGS = "acmelike.agents.sac.agent", "acmelike.agents.parts.settings"
_HOMES = dict.fromkeys(("OptimizerSettings", "ReplaySettings"), _SETTINGS)
_HOMES |= dict.fromkeys(("SACBuilder", "SACConfig"), _AGENT)
__all__ = ["OptimizerSettings", "ReplaySettings", "SACBuilder", "SACConfig"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
