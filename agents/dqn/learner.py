"""Learning: several updates in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.agent import UpdateOutputs
from acmelike.agents.dqn.config import DQNConfig
from acmelike.agents.dqn.losses import dqn_loss, importance_weights
from acmelike.agents.dqn.networks import QNetwork
from acmelike.agents.dqn.policy import MIN_PRIORITY
from acmelike.learners.adam import decaying_adam
from acmelike.types import Transition


class TrainingState(NamedTuple):
    """All that learning changes.

    Attributes:
      parameters: of the online network.
      target: of the target network.
      optimizer: its state.
      num_updates: `[]` int32.
    """

    parameters: Any
    target: Any
    optimizer: Any
    num_updates: jax.Array


@dataclass(frozen=True, kw_only=True)
class DQNCore:
    """The learner's pure functions.

    Attributes:
      config: the agent's settings.
      network: gives action values.
      observation_shape: of one observation.
    """

    config: DQNConfig
    network: QNetwork
    observation_shape: tuple[int, ...]

    needs_jax = True

    def init(self, key: jax.Array) -> TrainingState:
        """Random parameters; the target network starts equal."""
        parameters = self.network.init(key, self.observation_shape)
        return TrainingState(
            parameters=parameters,
            target=parameters,
            optimizer=self._optimizer().init(parameters),
            num_updates=jnp.zeros((), jnp.int32),
        )

    def parameters(self, state: TrainingState) -> Any:
        """What the policy acts with."""
        return state.parameters

    def update(
        self, state: TrainingState, data: Transition, probabilities: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Cuts items `[U * B, ...]` into U minibatches and makes an update on each."""
        num_updates = self.config.num_updates_per_call
        minibatches = jax.tree.map(
            lambda x: jnp.reshape(x, (num_updates, -1, *x.shape[1:])),
            (data, probabilities),
        )
        state, (losses, errors) = jax.lax.scan(self._update_once, state, minibatches)
        priorities = None
        if self.config.prioritized:
            priorities = jnp.reshape(jnp.abs(errors), (-1,)) + MIN_PRIORITY
        return state, UpdateOutputs(loss=jnp.mean(losses), priorities=priorities)

    def _update_once(
        self, state: TrainingState, minibatch: tuple[Transition, jax.Array]
    ) -> tuple[TrainingState, tuple[jax.Array, jax.Array]]:
        batch, probabilities = minibatch
        config = self.config
        weights = jnp.ones_like(probabilities)
        if config.prioritized:
            weights = importance_weights(probabilities, config.importance_exponent)

        def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            return dqn_loss(
                self.network.apply,
                parameters,
                state.target,
                batch,
                weights,
                double=config.double,
                huber_delta=config.huber_delta,
            )

        (value, errors), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.parameters
        )
        changes, optimizer = self._optimizer().update(gradients, state.optimizer)
        parameters = optax.apply_updates(state.parameters, changes)
        num_updates = state.num_updates + 1
        target = optax.periodic_update(
            parameters, state.target, num_updates, config.target_update_period
        )
        state = TrainingState(parameters, target, optimizer, num_updates)
        return state, (value, errors)

    def _optimizer(self) -> optax.GradientTransformation:
        return decaying_adam(self.config)
