"""Parts that several agents share: settings, exploration, heads, targets.

Saved policies name the settings by this package, so these must stay importable here.
"""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

_NAMES = {
    "acmelike.agents.parts.settings": ("OptimizerSettings", "ReplaySettings"),
}

__all__ = ["OptimizerSettings", "ReplaySettings"]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
