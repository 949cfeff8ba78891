"""What several agents share: settings, exploration, heads, minibatches."""

from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings

__all__ = ["OptimizerSettings", "ReplaySettings"]
