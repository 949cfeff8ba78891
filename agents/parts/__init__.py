"""What several agents share: settings, exploration, heads, minibatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

_HOMES = {
    "OptimizerSettings": "acmelike.agents.parts.settings",
    "ReplaySettings": "acmelike.agents.parts.settings",
}

__all__ = ["OptimizerSettings", "ReplaySettings"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
