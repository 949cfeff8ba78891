"""The properties and checks that builders of several agents share. Imports no JAX."""

from __future__ import annotations

from typing import Any, Protocol

from acmelike.agent import Agent, import_agent
from acmelike.networks import NetworkSource, check_network, check_observations
from acmelike.types import EnvironmentSpec


class OffPolicyConfig(Protocol):
    """What the settings of an off-policy agent have."""

    @property
    def batch_size(self) -> int: ...
    @property
    def num_updates_per_call(self) -> int: ...


class LazyBuilder:
    """A builder that imports its agent, and JAX, only when the agent is made.

    Attributes:
      config: the agent's settings, `network` and `normalize_observations` among them.
      name: of the agent.
      factory: "module:class" of the agent, which is made of config and spec.
    """

    config: Any
    name: str
    factory: str

    def make_agent(self, spec: EnvironmentSpec) -> Agent:
        agent = import_agent(self.factory, self.config, spec)
        if not self.config.normalize_observations:
            return agent
        from acmelike.agents.parts.normalized import Normalized

        return Normalized(agent, spec, self.config.network)


class OffPolicyBuilder(LazyBuilder):
    """A builder whose learner makes several updates in one call."""

    config: OffPolicyConfig

    @property
    def batch_size(self) -> int:
        """Items of one call: a minibatch for each of its updates."""
        return self.config.batch_size * self.config.num_updates_per_call

    @property
    def num_updates_per_call(self) -> int:
        """Updates of one call."""
        return self.config.num_updates_per_call


def check_discrete(agent: str, spec: EnvironmentSpec, network: NetworkSource) -> int:
    """The number of discrete actions, after all checks of an agent that wants these.

    Raises:
      ConfigError: actions are not discrete, there is no such network, or it does not
        take such observations.
    """
    # Environments import gymnasium, and `--help` is to be quick.
    from acmelike.environments import num_discrete_actions

    check_network(network)
    check_observations(spec, network, agent=agent)
    return num_discrete_actions(spec, agent=agent)
