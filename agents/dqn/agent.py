"""DQN's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from acmelike.adders import NStepAdder, transition_signature
from acmelike.agents.parts.q_learning import (
    MIN_PRIORITY,
    QLearningBuilder,
    QLearningConfig,
)
from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.checks import above
from acmelike.errors import ConfigError
from acmelike.replay import Prioritized, TableConfig
from acmelike.types import Array, EnvironmentSpec, Transition


@dataclass(frozen=True, kw_only=True)
class DQNConfig(QLearningConfig):
    """Settings of DQN. Double Q and prioritized replay can be switched off.

    Attributes:
      hidden_sizes: units of each hidden layer of "mlp", "minatar" and "nature".
      double: select the bootstrap action with the online network (van Hasselt 2015).
      prioritized: sample by TD error with importance weights (Schaul 2015), otherwise
        uniformly.
      actor_priorities: actors give new transitions their TD error as priority (Horgan
        2018); otherwise these get the largest so far. Needs prioritized.
      optimizer: Adam.
    """

    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (128, 128)
    double: bool = True
    prioritized: bool = True
    actor_priorities: bool = False
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(learning_rate=2e-3)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.actor_priorities and not self.prioritized:
            raise ConfigError("actor_priorities needs prioritized")


@dataclass(frozen=True, kw_only=True)
class DQNBuilder(QLearningBuilder):
    """Makes the parts of one DQN agent; implements `Builder`."""

    config: DQNConfig
    name = "dqn"
    factory = "acmelike.agents.dqn.learner:DQN"

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


def initial_priority(
    transitions: Transition,
    extras_tm1: Mapping[str, Array],
    extras_t: Mapping[str, Array],
) -> Array:
    """Priorities `[M]`, |TD error|, by the values that the actor had when it acted.

    Section 3 of "Distributed Prioritized Experience Replay", arXiv 1803.00933. So new
    transitions have different priorities before their first sample.
    """
    target = transitions.r_t + transitions.discount_t * extras_t["q_max"]
    priorities: Array = np.abs(target - extras_tm1["q_a"]) + MIN_PRIORITY
    return priorities
