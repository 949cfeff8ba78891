"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.dqn.agent import DQNBuilder, DQNConfig
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

_HOMES = {
    "DQNBuilder": "acmelike.agents.dqn.agent",
    "DQNConfig": "acmelike.agents.dqn.agent",
    "OptimizerSettings": "acmelike.agents.parts.settings",
    "ReplaySettings": "acmelike.agents.parts.settings",
}

__all__ = ["DQNBuilder", "DQNConfig", "OptimizerSettings", "ReplaySettings"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
