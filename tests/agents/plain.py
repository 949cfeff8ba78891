"""A small agent of NumPy alone, which keeps the contract of agents."""

from dataclasses import dataclass

import numpy as np

from acmelike.agent import UpdateOutputs
from acmelike.environments import CatchFactory
from acmelike.testing import AgentContract
from tests.reinforce.builder import ReinforceBuilder, act


class Plain:
    """Draws from a linear softmax; an update adds one to each parameter."""

    needs_jax = False
    act = staticmethod(act)

    def init(self, key):
        return {
            "weights": np.zeros((15, 3), np.float32),
            "biases": np.zeros(3, np.float32),
        }

    def parameters(self, state):
        return state

    def update(self, state, data, probabilities, key):
        changed = {name: array + 1 for name, array in state.items()}
        return changed, UpdateOutputs(loss=np.float32(0))


@dataclass(frozen=True, kw_only=True)
class PlainBuilder(ReinforceBuilder):
    """Makes the agent, which may be another class than `Plain`."""

    batch_size: int = 8
    unroll_length: int = 8
    agent: type = Plain

    def make_agent(self, spec):
        return self.agent()


def make_contract(builder):
    """The contract of an agent in a small Catch, which has 15 inputs and 3 actions."""
    return AgentContract(builder, CatchFactory(rows=5, columns=3), num_envs=4)
