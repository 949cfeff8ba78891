"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import ReplaySettings
    from acmelike.agents.sac.agent import SACBuilder, SACConfig

_AGENT, _SETTINGS = "acmelike.agents.sac.agent", "acmelike.agents.parts.settings"
_HOMES = {"ReplaySettings": _SETTINGS, "SACBuilder": _AGENT, "SACConfig": _AGENT}
__all__ = ["ReplaySettings", "SACBuilder", "SACConfig"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
