"""DQN's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.agents.parts.builders import OffPolicyBuilder, check_discrete
from acmelike.agents.parts.epsilon_greedy import (
    MIN_PRIORITY,
    epsilon_inputs,
    epsilon_ladder,
)
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.checks import above, at_least, between, check_fields
from acmelike.errors import ConfigError
from acmelike.networks import NetworkSource
from acmelike.replay import Prioritized, TableConfig
from acmelike.types import Array, EnvironmentSpec, Transition


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """DQN; every extension of it is a switch.

    Attributes:
      network: from observations to features: "auto", "mlp", "minatar",
        "impala_resnet", or a flax module of your own as "my_module:MyNetwork".
      hidden_sizes: units of each hidden layer of "mlp" and "minatar".
      double: select the bootstrap action with the online network (van Hasselt 2015).
      dueling: a value and an advantage stream (Wang 2015).
      n_step: steps between an observation and the one it bootstraps from.
      discount: of the agent, for one step.
      prioritized: sample by TD error with importance weights (Schaul 2015), else
        uniformly.
      actor_priorities: actors give new transitions their TD error as priority (Horgan
        2018); else they get the largest so far. Needs prioritized.
      priority_exponent: 0 samples uniformly, 1 in proportion to the TD error.
      importance_exponent: 0 leaves the bias of that sampling, 1 corrects it fully.
      huber_delta: TD errors beyond it count linearly.
      batch_size: transitions of one update.
      num_updates_per_call: updates made in one compiled call.
      target_update_period: updates between copies into the target network.
      epsilon: the exploration of environment 0, the largest.
      epsilon_alpha: how fast it falls over the environments: environment i of N acts
        at random with probability epsilon ** (1 + i * epsilon_alpha / (N - 1)).
      optimizer: Adam.
      replay: of transitions.
    """

    network: NetworkSource = "auto"
    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (128, 128)
    double: bool = True
    dueling: bool = True
    n_step: Annotated[int, at_least(1)] = 1
    discount: Annotated[float, between(0, 1)] = 0.99
    prioritized: bool = True
    actor_priorities: bool = False
    priority_exponent: Annotated[float, at_least(0)] = 0.6
    importance_exponent: Annotated[float, at_least(0)] = 0.4
    huber_delta: Annotated[float, above(0)] = 1.0
    batch_size: Annotated[int, at_least(1)] = 64
    num_updates_per_call: Annotated[int, at_least(1)] = 16
    target_update_period: Annotated[int, at_least(1)] = 50
    epsilon: Annotated[float, between(0, 1)] = 0.4
    epsilon_alpha: Annotated[float, at_least(0)] = 7.0
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.actor_priorities and not self.prioritized:
            raise ConfigError("actor_priorities needs prioritized")


@dataclass(frozen=True, kw_only=True)
class DQNBuilder(OffPolicyBuilder):
    """Makes the parts of one DQN agent; implements `Builder`.

    Attributes:
      config: the agent's settings.
    """

    config: DQNConfig

    name = "dqn"
    factory = "acmelike.agents.dqn.learner:make_dqn"

    def check(self, spec: EnvironmentSpec) -> None:
        check_discrete(self.name, spec, self.config.network)

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        by_error = Prioritized(exponent=self.config.priority_exponent)
        return self.config.replay.make_table(
            "transitions",
            transition_signature(spec),
            items_per_call=self.batch_size,
            sampler=by_error if self.config.prioritized else None,
        )

    def make_adder(self, num_envs: int) -> NStepAdder:
        config = self.config
        return NStepAdder(
            num_envs=num_envs,
            n=config.n_step,
            discount=config.discount,
            initial_priority=initial_priority if config.actor_priorities else None,
        )

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        epsilons = epsilon_ladder(self.config.epsilon, self.config.epsilon_alpha, place)
        return epsilon_inputs(epsilons)

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        return epsilon_inputs((0.0,))


def initial_priority(
    transitions: Transition,
    extras_tm1: Mapping[str, Array],
    extras_t: Mapping[str, Array],
) -> Array:
    """Priorities `[M]` by the values that the actor had when it acted: |TD error|.

    Section 3 of "Distributed Prioritized Experience Replay", arXiv 1803.00933. So new
    transitions differ in priority before each of them was sampled once.
    """
    target = transitions.r_t + transitions.discount_t * extras_t["q_max"]
    priorities: Array = np.abs(target - extras_tm1["q_a"]) + MIN_PRIORITY
    return priorities
