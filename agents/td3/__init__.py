"""TD3: a deterministic policy, twin critics and delayed updates of the policy."""

from acmelike.agents.parts.settings import ReplaySettings
from acmelike.agents.td3.agent import TD3Builder, TD3Config

__all__ = ["ReplaySettings", "TD3Builder", "TD3Config"]
