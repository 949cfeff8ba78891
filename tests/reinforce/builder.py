"""REINFORCE: how little a learning agent is. Williams 1992, with a linear softmax."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import PolicyInputs, PolicyOutput
from acmelike.environments import observation_shape
from acmelike.errors import ConfigError
from acmelike.policies import gumbel_noise, zero_noise
from acmelike.replay import TableConfig


def act(parameters, state, observation, noise):
    """Draws from the softmax of a linear layer; in JAX and in NumPy."""
    inputs = observation.reshape(observation.shape[0], -1)
    logits = inputs @ parameters["weights"] + parameters["biases"]
    return PolicyOutput((logits + noise).argmax(axis=-1).astype(np.int32), state)


@dataclass(frozen=True, kw_only=True)
class ReinforceBuilder:
    """Makes its parts; a batch is an unroll of every environment."""

    batch_size: int
    unroll_length: int = 16
    learning_rate: float = 0.05

    name = "reinforce"
    num_updates_per_call = 1

    def check(self, spec):
        if not isinstance(spec.actions, specs.DiscreteArray):
            raise ConfigError(
                f"{self.name} needs discrete actions: {spec.actions.shape} are not"
            )
        observation_shape(spec, agent=self.name)

    def make_table(self, spec):
        signature = unroll_signature(spec, self.unroll_length)
        return TableConfig.queue("unrolls", signature, max_size=2 * self.batch_size)

    def make_adder(self, num_envs):
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length)

    def make_policy_inputs(self, spec, place):
        num_actions = spec.actions.num_values
        return PolicyInputs(noise=partial(gumbel_noise, num_actions=num_actions))

    def make_greedy_inputs(self, spec):
        return PolicyInputs(noise=partial(zero_noise, size=spec.actions.num_values))

    def make_agent(self, spec):
        from tests.reinforce.learner import Reinforce

        return Reinforce(
            num_inputs=int(np.prod(observation_shape(spec, agent=self.name))),
            num_actions=spec.actions.num_values,
            learning_rate=self.learning_rate,
        )
