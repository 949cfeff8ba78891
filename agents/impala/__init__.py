"""IMPALA: actor-critic from unrolls of older policies, corrected by V-trace."""

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.impala.agent import ImpalaBuilder, ImpalaConfig
    from acmelike.agents.parts.settings import OptimizerSettings

_AGENT, _SETTINGS = "acmelike.agents.impala.agent", "acmelike.agents.parts.settings"
_HOMES = {
    "ImpalaBuilder": _AGENT,
    "ImpalaConfig": _AGENT,
    "OptimizerSettings": _SETTINGS,
}
__all__ = ["ImpalaBuilder", "ImpalaConfig", "OptimizerSettings"]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
