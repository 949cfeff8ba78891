"""Soft actor-critic for continuous actions, with a learned temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.sac.builder import SACBuilder
    from acmelike.agents.sac.config import SACConfig

_HOMES = {
    "SACBuilder": "acmelike.agents.sac.builder",
    "SACConfig": "acmelike.agents.sac.config",
}

__all__ = ["SACBuilder", "SACConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
