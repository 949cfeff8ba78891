"""The gradient of REINFORCE, with JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.agent import UpdateOutputs
from acmelike.networks import log_softmax
from tests.reinforce.builder import act


class TrainingState(NamedTuple):
    parameters: Any
    optimizer: Any


@dataclass(frozen=True, kw_only=True)
class Reinforce:
    num_inputs: int
    num_actions: int
    learning_rate: float

    needs_jax = True
    act = staticmethod(act)

    def init(self, key):
        shape = self.num_inputs, self.num_actions
        weights = jax.nn.initializers.lecun_normal()(key, shape)
        parameters = {"weights": weights, "biases": jnp.zeros(self.num_actions)}
        return TrainingState(
            parameters, optax.adam(self.learning_rate).init(parameters)
        )

    def parameters(self, state):
        return state.parameters

    def update(self, state, data, probabilities, key):
        loss, gradients = jax.value_and_grad(_loss)(state.parameters, data)
        optimizer = optax.adam(self.learning_rate)
        changes, optimizer = optimizer.update(gradients, state.optimizer)
        parameters = optax.apply_updates(state.parameters, changes)
        return TrainingState(parameters, optimizer), UpdateOutputs(loss)


def _loss(parameters, data):
    """Log-probabilities of actions `[B, T]`, weighed by what followed them."""
    inputs = data.o_t[:, :-1].reshape(*data.a_t.shape, -1)
    log_probs = log_softmax(inputs @ parameters["weights"] + parameters["biases"])
    taken = jnp.take_along_axis(log_probs, data.a_t[..., None], axis=-1)[..., 0]
    return -jnp.mean(data.mask * taken * _returns(data))


def _returns(data):
    """Of every step, the rewards up to the end of its episode or of the unroll."""

    def add(return_t, step):
        r_t, discount_t = step
        return_t = r_t + discount_t * return_t
        return return_t, return_t

    steps = (data.r_t.T, data.discount_t.T)
    _, returns = jax.lax.scan(add, jnp.zeros(len(data.r_t)), steps, reverse=True)
    return returns.T
