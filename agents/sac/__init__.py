"""Soft actor-critic: continuous actions, twin critics and a learned temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import ReplaySettings
    from acmelike.agents.sac.agent import SACBuilder, SACConfig

_HOMES = {
    "ReplaySettings": "acmelike.agents.parts.settings",
    "SACBuilder": "acmelike.agents.sac.agent",
    "SACConfig": "acmelike.agents.sac.agent",
}

__all__ = ["ReplaySettings", "SACBuilder", "SACConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
