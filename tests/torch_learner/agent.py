"""REINFORCE with PyTorch: the same actors, and another library's learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from acmelike.agent import UpdateOutputs
from acmelike.environments import observation_shape
from tests.reinforce.builder import ReinforceBuilder, act


class TrainingState(NamedTuple):
    network: torch.nn.Linear
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True, kw_only=True)
class TorchReinforce:
    num_inputs: int
    num_actions: int
    learning_rate: float

    needs_jax = False
    act = staticmethod(act)

    def init(self, key):
        torch.manual_seed(key)
        network = torch.nn.Linear(self.num_inputs, self.num_actions)
        return TrainingState(
            network, torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        )

    def parameters(self, state):
        # Copies, as the optimizer changes its own in place.
        weights, biases = (x.detach().numpy() for x in state.network.parameters())
        return {"weights": weights.T.copy(), "biases": biases.copy()}

    def update(self, state, data, probabilities, key):
        # What has arrived is read-only, which torch cannot say of a tensor.
        inputs = torch.tensor(data.o_t[:, :-1]).flatten(2)
        log_probs = state.network(inputs).log_softmax(dim=-1)
        taken = log_probs.gather(2, torch.tensor(data.a_t)[..., None])[..., 0]
        loss = -(torch.tensor(data.mask * _returns(data)) * taken).mean()
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        return state, UpdateOutputs(loss=loss.item())


def _returns(data):
    """Of every step, the rewards up to the end of its episode or of the unroll."""
    returns = np.zeros_like(data.r_t)
    following = np.zeros(len(returns), np.float32)
    for t in reversed(range(returns.shape[1])):
        following = data.r_t[:, t] + data.discount_t[:, t] * following
        returns[:, t] = following
    return returns


@dataclass(frozen=True, kw_only=True)
class TorchBuilder(ReinforceBuilder):
    name = "reinforce with torch"

    def make_agent(self, spec):
        return TorchReinforce(
            num_inputs=int(np.prod(observation_shape(spec, agent=self.name))),
            num_actions=spec.actions.num_values,
            learning_rate=self.learning_rate,
        )
