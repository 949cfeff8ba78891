"""The properties and checks that builders of several agents share. Imports no JAX."""

from __future__ import annotations

from typing import Any, Protocol

from acmelike.agent import Agent, import_agent
from acmelike.errors import ConfigError
from acmelike.networks import (
    NetworkSource,
    check_network,
    check_observations,
    preparation_of,
)
from acmelike.types import MAX_CATEGORIES, EnvironmentSpec


class InputConfig(Protocol):
    """The settings of networks that observations are checked against."""

    @property
    def network(self) -> NetworkSource: ...
    @property
    def embedding_size(self) -> int: ...


class TorsoConfig(InputConfig, Protocol):
    """The settings of networks that all agents have."""

    @property
    def hidden_sizes(self) -> tuple[int, ...]: ...


class OffPolicyConfig(Protocol):
    """The settings that all off-policy agents have."""

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


def check_inputs(agent: str, spec: EnvironmentSpec, config: InputConfig) -> None:
    """Checks the settings of a network against the observations that it gets.

    Raises:
      ConfigError: there is no such network, it does not take these observations, or
        `embedding_size` is set and the observations have no categories.
    """
    check_network(config.network)
    check_observations(spec, config.network, agent=agent)
    size = config.embedding_size
    if size and not preparation_of(spec, config.network).has_categories:
        raise ConfigError(
            f"{agent}: embedding_size must be 0, as observations have no categories "
            f"(numbers of at most {MAX_CATEGORIES:,} values): {size}"
        )


def check_discrete(agent: str, spec: EnvironmentSpec, config: InputConfig) -> int:
    """Checks an agent that needs discrete actions; returns the number of actions.

    Raises:
      ConfigError: actions are not discrete, or see `check_inputs`.
    """
    # Environments import gymnasium, and `--help` must be quick.
    from acmelike.environments import num_discrete_actions

    check_inputs(agent, spec, config)
    return num_discrete_actions(spec, agent=agent)
