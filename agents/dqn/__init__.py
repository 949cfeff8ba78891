"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.dqn.builder import DQNBuilder
    from acmelike.agents.dqn.config import DQNConfig

_HOMES = {
    "DQNBuilder": "acmelike.agents.dqn.builder",
    "DQNConfig": "acmelike.agents.dqn.config",
}

__all__ = ["DQNBuilder", "DQNConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
