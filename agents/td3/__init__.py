"""TD3: a deterministic policy, twin critics and delayed updates of the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import ReplaySettings
    from acmelike.agents.td3.agent import TD3Builder, TD3Config

_HOMES = {
    "ReplaySettings": "acmelike.agents.parts.settings",
    "TD3Builder": "acmelike.agents.td3.agent",
    "TD3Config": "acmelike.agents.td3.agent",
}

__all__ = ["ReplaySettings", "TD3Builder", "TD3Config"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
