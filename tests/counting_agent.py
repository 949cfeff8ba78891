"""The smallest agent, whose every number is known: it counts its updates.

Its parameters are that count, its actions are that count too, modulo the number of
actions; its loss is the mean reward and its priorities are the rewards. So a test can
say in whole numbers which parameters somebody acted with, and needs no real learning.
"""

from __future__ import annotations

from dataclasses import dataclass

import dm_env
import numpy as np
from dm_env import specs

from acmelike.adders import (
    NStepAdder,
    UnrollAdder,
    transition_signature,
    unroll_signature,
)
from acmelike.agent import PolicyInputs
from acmelike.policies import make_portable
from acmelike.replay import Fifo, MinSize, Prioritized, TableConfig
from acmelike.types import Transition


@dataclass(frozen=True, kw_only=True)
class CountingBuilder:
    batch_size: int = 4
    num_updates_per_call: int = 2
    prioritized: bool = False
    n_step: int = 1
    max_size: int = 1_000
    replacement: bool = False

    name = "counting"

    def check(self, spec):
        pass

    def make_table(self, spec):
        return TableConfig(
            name="items",
            signature=transition_signature(spec),
            max_size=self.max_size,
            sampler=Prioritized(exponent=1.0) if self.prioritized else Fifo(),
            replacement=self.prioritized or self.replacement,
            rate_limiter=MinSize(min_size=1),
        )

    def make_adder(self, num_envs):
        return NStepAdder(num_envs=num_envs, n=self.n_step, discount=0.5)

    def make_policy_inputs(self, spec, place):
        return PolicyInputs(init=zeros)

    def make_greedy_inputs(self, spec):
        return PolicyInputs(init=zeros)

    def make_agent(self, spec):
        # Nodes that only hold the builder do without JAX.
        from tests.counting_learner import CountingAgent

        return CountingAgent(
            num_updates=self.num_updates_per_call,
            prioritized=self.prioritized,
            num_actions=spec.actions.num_values,
        )


@dataclass(frozen=True, kw_only=True)
class LagBuilder(CountingBuilder):
    """The counting agent on unrolls, each used once; its losses are lags."""

    unroll_length: int = 3
    queue_size: int = 8

    def make_table(self, spec):
        signature = unroll_signature(spec, self.unroll_length)
        return TableConfig.queue("unrolls", signature, self.queue_size)

    def make_adder(self, num_envs):
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length)

    def make_agent(self, spec):
        from tests.counting_learner import LagAgent

        return LagAgent(
            num_updates=self.num_updates_per_call,
            num_actions=spec.actions.num_values,
        )


def zeros(num_envs):
    """A state that nothing depends on."""
    return np.zeros(num_envs, np.float32)


def counting_policy(spec):
    """The policy as a learner would send it."""
    return make_portable(CountingBuilder(), spec, {"count": np.int32(0)})


class Clock(dm_env.Environment):
    """Observes the time since its episode began, in one buffer that it reuses.

    Actions are 0 to 9, and the reward is the action.

    Args:
      length: steps of an episode.
    """

    def __init__(self, length: int):
        self.length, self.is_closed = length, False
        self._buffer = np.zeros(1, np.float32)

    def reset(self):
        self._buffer[:] = 0
        return dm_env.restart(self._buffer)

    def step(self, action):
        self._buffer += 1
        if self._buffer[0] == self.length:
            return dm_env.termination(float(action), self._buffer)
        return dm_env.transition(float(action), self._buffer)

    def close(self):
        self.is_closed = True

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(10, np.int64)


def make_items(*, rewards: list[float], versions: list[int] | None = None):
    """Items of a `Clock`, one for each reward; collected by version 0 if not said."""
    n = len(rewards)
    return Transition(
        o_tm1=np.zeros((n, 1), np.float32),
        a_tm1=np.zeros(n, np.int64),
        r_t=np.array(rewards, np.float32),
        discount_t=np.ones(n, np.float32),
        o_t=np.zeros((n, 1), np.float32),
        version=np.array(versions or [0] * n, np.int64),
        extras={},
    )
