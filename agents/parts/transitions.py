"""A table of one-step transitions with continuous actions. Imports no JAX."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agent import PolicyInputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.builders import OffPolicyBuilder, OffPolicyConfig
from acmelike.agents.parts.settings import ReplaySettings
from acmelike.networks import NetworkSource, check_images, check_network
from acmelike.policies import zero_noise
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec


class ContinuousConfig(OffPolicyConfig, Protocol):
    """What the settings of such an agent have."""

    @property
    def network(self) -> NetworkSource: ...
    @property
    def discount(self) -> float: ...
    @property
    def replay(self) -> ReplaySettings: ...


class ContinuousBuilder(OffPolicyBuilder):
    """A builder of an agent with continuous actions, greedy where its noise is zero."""

    config: ContinuousConfig
    name: str

    def check(self, spec: EnvironmentSpec) -> None:
        check_network(self.config.network)
        check_images(spec.observations.shape, agent=self.name)
        bounds_of(spec.actions, self.name)

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """One-step transitions, sampled uniformly."""
        return self.config.replay.make_table(
            "transitions", transition_signature(spec), items_per_call=self.batch_size
        )

    def make_adder(self, num_envs: int) -> NStepAdder:
        return NStepAdder(num_envs=num_envs, n=1, discount=self.config.discount)

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        size = bounds_of(spec.actions, self.name).size
        return PolicyInputs(noise=partial(zero_noise, size=size))
