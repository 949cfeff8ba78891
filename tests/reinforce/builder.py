"""REINFORCE: how little a learning agent is. Williams 1992, with a linear softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import PolicyOutput
from acmelike.errors import ConfigError
from acmelike.networks import dense, flat, gumbel_noise
from acmelike.replay import TableConfig


@dataclass(frozen=True, kw_only=True)
class ReinforcePolicy:
    """Draws from the softmax of a linear layer, or takes its largest."""

    num_actions: int
    greedy: bool = False

    needs_jax = False

    def init(self, num_envs):
        return ()

    def noise(self, random, num_envs):
        return gumbel_noise(random, num_envs, self.num_actions)

    def act(self, parameters, state, observation, noise):
        logits = dense(parameters, flat(observation))
        action = (logits if self.greedy else logits + noise).argmax(axis=-1)
        return PolicyOutput(action.astype(np.int32), state)


@dataclass(frozen=True, kw_only=True)
class ReinforceBuilder:
    """Makes its parts; a batch is an unroll of every environment."""

    batch_size: int
    unroll_length: int = 16
    learning_rate: float = 0.05

    name = "reinforce"
    num_updates_per_batch = 1

    def check(self, spec):
        if not isinstance(spec.actions, specs.DiscreteArray):
            raise ConfigError(
                f"reinforce needs discrete actions: {spec.actions.shape} are not"
            )

    def make_table(self, spec):
        signature = unroll_signature(spec, self.unroll_length)
        return TableConfig.queue("unrolls", signature, max_size=2 * self.batch_size)

    def make_adder(self, num_envs):
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length)

    def make_policy(self, spec, place):
        return ReinforcePolicy(num_actions=spec.actions.num_values)

    def make_greedy_policy(self, spec):
        return ReinforcePolicy(num_actions=spec.actions.num_values, greedy=True)

    def make_learner_core(self, spec):
        from tests.reinforce.learner import ReinforceCore

        return ReinforceCore(
            num_inputs=int(np.prod(spec.observations.shape)),
            num_actions=spec.actions.num_values,
            learning_rate=self.learning_rate,
        )
