"""TD3: a deterministic policy, twin critics and delayed updates of the policy."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
    from acmelike.agents.td3.agent import TD3Builder, TD3Config

_AGENT, _SETTINGS = "acmelike.agents.td3.agent", "acmelike.agents.parts.settings"
_HOMES = dict.fromkeys(("OptimizerSettings", "ReplaySettings"), _SETTINGS)
_HOMES |= dict.fromkeys(("TD3Builder", "TD3Config"), _AGENT)
__all__ = ["OptimizerSettings", "ReplaySettings", "TD3Builder", "TD3Config"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
