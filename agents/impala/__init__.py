"""IMPALA: actor-critic from unrolls of older policies, corrected by V-trace."""

from acmelike.agents.impala.agent import ImpalaBuilder, ImpalaConfig
from acmelike.agents.parts.settings import OptimizerSettings

__all__ = ["ImpalaBuilder", "ImpalaConfig", "OptimizerSettings"]
