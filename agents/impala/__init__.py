"""IMPALA: actor-critic from unrolls of older policies, corrected by V-trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.impala.builder import ImpalaBuilder
    from acmelike.agents.impala.config import ImpalaConfig

_HOMES = {
    "ImpalaBuilder": "acmelike.agents.impala.builder",
    "ImpalaConfig": "acmelike.agents.impala.config",
}

__all__ = ["ImpalaBuilder", "ImpalaConfig"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
