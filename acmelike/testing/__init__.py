"""Contract suites that authors of parts run on their own code."""

from acmelike.testing.agents import AgentContract

__all__ = ["AgentContract"]
