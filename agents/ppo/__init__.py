"""Proximal policy optimisation: in lock-step, on unrolls of one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.ppo.builder import PPOBuilder
    from acmelike.agents.ppo.config import PPOConfig

_HOMES = {
    "PPOBuilder": "acmelike.agents.ppo.builder",
    "PPOConfig": "acmelike.agents.ppo.config",
}

__all__ = ["PPOBuilder", "PPOConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
