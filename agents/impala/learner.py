"""Learning: one update for each batch of unrolls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.adders import Unroll
from acmelike.agent import UpdateOutputs
from acmelike.agents.impala.config import ImpalaConfig
from acmelike.agents.impala.losses import unroll_loss
from acmelike.agents.impala.networks import ImpalaNetwork
from acmelike.learners.adam import decaying_adam
from acmelike.networks import LSTMState
from acmelike.types import Nested


class TrainingState(NamedTuple):
    """All that learning changes.

    Attributes:
      parameters: of the network.
      optimizer: its state.
    """

    parameters: Any
    optimizer: Any


@dataclass(frozen=True, kw_only=True)
class ImpalaCore:
    """The learner's pure functions.

    Attributes:
      config: the agent's settings.
      network: gives logits and values.
    """

    config: ImpalaConfig
    network: ImpalaNetwork

    needs_jax = True

    def init(self, key: jax.Array) -> TrainingState:
        """Random parameters."""
        parameters = self.network.init(key)
        return TrainingState(parameters, self._optimizer().init(parameters))

    def parameters(self, state: TrainingState) -> Any:
        """What the policy acts with."""
        return state.parameters

    def update(
        self, state: TrainingState, data: Unroll, probabilities: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Makes one update on unrolls `[B, T, ...]`."""
        loss, gradients = jax.value_and_grad(self._loss)(state.parameters, data)
        changes, optimizer = self._optimizer().update(gradients, state.optimizer)
        parameters = optax.apply_updates(state.parameters, changes)
        outputs = UpdateOutputs(loss=loss, priorities=None)
        return TrainingState(parameters, optimizer), outputs

    def _loss(self, parameters: Any, data: Unroll) -> jax.Array:
        o_t, is_first = jnp.swapaxes(data.o_t, 0, 1), jnp.swapaxes(data.is_first, 0, 1)
        heads = self.network.unroll(parameters, _first_state(data), o_t, is_first)
        losses = jax.vmap(
            partial(unroll_loss, config=self.config), in_axes=(1, 0, 0, 0, 0, 0)
        )(
            heads,
            data.a_t,
            data.r_t * self.config.reward_scale,
            data.discount_t * self.config.discount,
            data.mask,
            data.extras["log_prob"],
        )
        return jnp.sum(losses) / jnp.maximum(jnp.sum(data.mask), 1.0)

    def _optimizer(self) -> optax.GradientTransformation:
        return decaying_adam(self.config)


def _first_state(data: Unroll) -> Nested:
    """The network's state when the unrolls begin, as the actors had it."""
    if "hidden" not in data.extras:
        return ()
    return LSTMState(data.extras["hidden"], data.extras["cell"])
