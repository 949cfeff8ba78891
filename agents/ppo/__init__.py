"""Proximal policy optimisation: in lock-step, on unrolls of one version."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings
    from acmelike.agents.ppo.agent import PPOBuilder, PPOConfig

_NAMES = {
    "acmelike.agents.parts.settings": ("OptimizerSettings",),
    "acmelike.agents.ppo.agent": ("PPOBuilder", "PPOConfig"),
}
__all__ = ["OptimizerSettings", "PPOBuilder", "PPOConfig"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
