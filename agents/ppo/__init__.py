"""Proximal policy optimisation: in lock-step, on unrolls of one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings
    from acmelike.agents.ppo.agent import PPOBuilder, PPOConfig

_HOMES = {
    "OptimizerSettings": "acmelike.agents.parts.settings",
    "PPOBuilder": "acmelike.agents.ppo.agent",
    "PPOConfig": "acmelike.agents.ppo.agent",
}

__all__ = ["OptimizerSettings", "PPOBuilder", "PPOConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
