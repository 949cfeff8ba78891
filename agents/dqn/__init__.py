"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.dqn.agent import DQNBuilder, DQNConfig
    from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

_NAMES = {
    "acmelike.agents.dqn.agent": ("DQNBuilder", "DQNConfig"),
    "acmelike.agents.parts.settings": ("OptimizerSettings", "ReplaySettings"),
}
__all__ = ["DQNBuilder", "DQNConfig", "OptimizerSettings", "ReplaySettings"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
