"""Learning: several updates in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.agent import UpdateOutputs
from acmelike.agents.sac.bounds import Bounds
from acmelike.agents.sac.config import SACConfig
from acmelike.agents.sac.gaussian import log_prob, sample
from acmelike.agents.sac.losses import (
    critic_loss,
    policy_loss,
    soft_targets,
    temperature_loss,
)
from acmelike.agents.sac.networks import PolicyNetwork, TwinCritics
from acmelike.types import Transition


class Learned(NamedTuple):
    """What has a gradient, or the optimizers' states of it.

    Attributes:
      policy: parameters.
      critics: of both, stacked.
      log_temperature: `[]`.
    """

    policy: Any
    critics: Any
    log_temperature: Any


class TrainingState(NamedTuple):
    """All that learning changes.

    Attributes:
      learned: the parameters.
      target: of the target critics.
      optimizer: Adam's states.
      key: the root of all noise, as numbers.
      num_updates: `[]` int32.
    """

    learned: Learned
    target: Any
    optimizer: Learned
    key: jax.Array
    num_updates: jax.Array


@dataclass(frozen=True, kw_only=True)
class SACCore:
    """The learner's pure functions.

    Attributes:
      config: the agent's settings.
      policy: the network of the policy.
      critics: the networks of the critics.
      bounds: of actions.
      observation_shape: of one observation.
    """

    config: SACConfig
    policy: PolicyNetwork
    critics: TwinCritics
    bounds: Bounds
    observation_shape: tuple[int, ...]

    needs_jax = True

    @property
    def target_entropy(self) -> float:
        """As the settings say, or -A: appendix D of the paper."""
        given = self.config.target_entropy
        return -float(self.bounds.size) if given is None else given

    def init(self, key: jax.Array) -> TrainingState:
        """Random parameters; the target critics start equal."""
        key, policy_key, critics_key = jax.random.split(key, 3)
        learned = Learned(
            policy=self.policy.init(policy_key, self.observation_shape),
            critics=self.critics.init(critics_key, self.observation_shape),
            log_temperature=jnp.log(jnp.float32(self.config.initial_temperature)),
        )
        return TrainingState(
            learned=learned,
            target=learned.critics,
            optimizer=Learned(*map(self._adam().init, learned)),
            key=jax.random.key_data(key),
            num_updates=jnp.zeros((), jnp.int32),
        )

    def parameters(self, state: TrainingState) -> Any:
        """What the policy acts with."""
        return state.learned.policy

    def update(
        self, state: TrainingState, data: Transition, probabilities: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Cuts items `[U * B, ...]` into U minibatches and makes an update on each."""
        num_updates = self.config.num_updates_per_call
        minibatches = jax.tree.map(
            lambda x: jnp.reshape(x, (num_updates, -1, *x.shape[1:])), data
        )
        noise = self._noise(state, minibatches.r_t.shape)
        state, losses = jax.lax.scan(self._update_once, state, (minibatches, noise))
        return state, UpdateOutputs(loss=jnp.mean(losses), priorities=None)

    def _noise(self, state: TrainingState, shape: tuple[int, int]) -> jax.Array:
        """For U updates `[U, 2, B, A]`, that of each by its number."""
        num_updates, batch_size = shape
        key = jax.random.wrap_key_data(state.key)
        numbers = state.num_updates + jnp.arange(num_updates)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)
        return jax.vmap(
            lambda key: jax.random.normal(key, (2, batch_size, self.bounds.size))
        )(keys)

    def _update_once(
        self, state: TrainingState, inputs: tuple[Transition, jax.Array]
    ) -> tuple[TrainingState, jax.Array]:
        """Critics, policy, temperature, target, as in algorithm 1 of the paper."""
        batch, (noise_tm1, noise_t) = inputs
        learned = state.learned
        temperature = jnp.exp(learned.log_temperature)

        gaussian_t = self.policy.apply(learned.policy, batch.o_t)
        q_t = self.critics.apply(state.target, batch.o_t, sample(gaussian_t, noise_t))
        targets = soft_targets(
            batch.r_t,
            batch.discount_t,
            q_t,
            log_prob(gaussian_t, noise_t),
            temperature,
        )
        a_tm1 = self.bounds.unscale(batch.a_tm1)

        def critics_loss(critics: Any) -> jax.Array:
            q_tm1 = self.critics.apply(critics, batch.o_tm1, a_tm1)
            return critic_loss(q_tm1, targets)

        loss, gradient = jax.value_and_grad(critics_loss)(learned.critics)
        critics, critics_adam = self._step(
            gradient, state.optimizer.critics, learned.critics
        )

        def actor_loss(policy: Any) -> tuple[jax.Array, jax.Array]:
            gaussian = self.policy.apply(policy, batch.o_tm1)
            q_tm1 = self.critics.apply(
                critics, batch.o_tm1, sample(gaussian, noise_tm1)
            )
            log_prob_tm1 = log_prob(gaussian, noise_tm1)
            return policy_loss(q_tm1, log_prob_tm1, temperature), log_prob_tm1

        gradient, log_prob_tm1 = jax.grad(actor_loss, has_aux=True)(learned.policy)
        policy, policy_adam = self._step(
            gradient, state.optimizer.policy, learned.policy
        )

        gradient = jax.grad(temperature_loss)(
            learned.log_temperature, log_prob_tm1, self.target_entropy
        )
        log_temperature, temperature_adam = self._step(
            gradient, state.optimizer.log_temperature, learned.log_temperature
        )
        target = optax.incremental_update(
            critics, state.target, self.config.target_rate
        )
        state = TrainingState(
            learned=Learned(policy, critics, log_temperature),
            target=target,
            optimizer=Learned(policy_adam, critics_adam, temperature_adam),
            key=state.key,
            num_updates=state.num_updates + 1,
        )
        return state, loss

    def _step(self, gradient: Any, optimizer: Any, parameters: Any) -> tuple[Any, Any]:
        changes, optimizer = self._adam().update(gradient, optimizer)
        return optax.apply_updates(parameters, changes), optimizer

    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.config.learning_rate)
