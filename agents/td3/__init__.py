"""TD3: a deterministic policy, twin critics and delayed updates of the policy."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.td3.agent import TD3Builder, TD3Config

_NAMES = {
    "acmelike.agents.parts.settings": ("OptimizerSettings", "ReplaySettings"),
    "acmelike.agents.td3.agent": ("TD3Builder", "TD3Config"),
}
__all__ = ["OptimizerSettings", "ReplaySettings", "TD3Builder", "TD3Config"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
