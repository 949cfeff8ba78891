"""Learning from sequences: several updates in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from acmelike.adders import Sequence
from acmelike.agent import UpdateOutputs
from acmelike.agents.dqn.learner import TrainingState
from acmelike.agents.dqn.losses import importance_weights
from acmelike.agents.dqn.policy import MIN_PRIORITY
from acmelike.agents.r2d2.config import R2D2Config
from acmelike.agents.r2d2.losses import (
    learned_steps,
    r2d2_loss,
    sequence_priorities,
    td_errors,
    unroll_with_burn_in,
)
from acmelike.agents.r2d2.networks import RecurrentQNetwork
from acmelike.learners.adam import decaying_adam


@dataclass(frozen=True, kw_only=True)
class R2D2Core:
    """The learner's pure functions.

    Attributes:
      config: the agent's settings.
      network: gives action values.
      observation_shape: of one observation.
    """

    config: R2D2Config
    network: RecurrentQNetwork
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
        self, state: TrainingState, data: Sequence, probabilities: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Cuts items `[U * B, ...]` into U minibatches and makes an update on each."""
        num_updates = self.config.num_updates_per_call
        minibatches = jax.tree.map(
            lambda x: jnp.reshape(x, (num_updates, -1, *x.shape[1:])),
            (data, probabilities),
        )
        state, (losses, priorities) = jax.lax.scan(
            self._update_once, state, minibatches
        )
        return state, UpdateOutputs(jnp.mean(losses), jnp.reshape(priorities, (-1,)))

    def _update_once(
        self, state: TrainingState, minibatch: tuple[Sequence, jax.Array]
    ) -> tuple[TrainingState, tuple[jax.Array, jax.Array]]:
        data, probabilities = minibatch
        config = self.config
        batch = _time_major(data)
        mask = learned_steps(batch, burn_in=config.burn_in)
        weights = importance_weights(probabilities, config.importance_exponent)

        def unroll(parameters: Any) -> jax.Array:
            return unroll_with_burn_in(
                self.network, parameters, batch, burn_in=config.burn_in
            )

        q_target = unroll(state.target)

        def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            errors = td_errors(
                unroll(parameters),
                q_target,
                batch,
                n_step=config.n_step,
                discount=config.discount,
                rescale_values=config.rescale_values,
            )
            return (
                r2d2_loss(errors, mask, weights, huber_delta=config.huber_delta),
                errors,
            )

        (value, errors), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.parameters
        )
        priorities = sequence_priorities(
            errors, mask, max_fraction=config.priority_max_fraction
        )
        changes, optimizer = self._optimizer().update(gradients, state.optimizer)
        parameters = optax.apply_updates(state.parameters, changes)
        num_updates = state.num_updates + 1
        target = optax.periodic_update(
            parameters, state.target, num_updates, config.target_update_period
        )
        state = TrainingState(parameters, target, optimizer, num_updates)
        return state, (value, priorities + MIN_PRIORITY)

    def _optimizer(self) -> optax.GradientTransformation:
        return decaying_adam(self.config)


def _time_major(batch: Sequence) -> Sequence:
    """From `[B, T, ...]` to `[T, B, ...]`, but for the extras, which have no time."""
    steps: Sequence = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1), batch._replace(extras={})
    )
    return steps._replace(extras=batch.extras)
