"""IMPALA: actor-critic from unrolls of older policies, corrected by V-trace."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.impala.agent import ImpalaBuilder, ImpalaConfig
    from acmelike.agents.parts.settings import OptimizerSettings

_NAMES = {
    "acmelike.agents.impala.agent": ("ImpalaBuilder", "ImpalaConfig"),
    "acmelike.agents.parts.settings": ("OptimizerSettings",),
}
__all__ = ["ImpalaBuilder", "ImpalaConfig", "OptimizerSettings"]
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
