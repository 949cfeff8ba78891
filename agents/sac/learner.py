"""SAC as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.bounds import Bounds, bounds_of
from acmelike.agents.parts.critics import twin_critics
from acmelike.agents.parts.gaussian import Gaussian, log_prob, sample
from acmelike.agents.parts.optimizer import apply_gradients
from acmelike.agents.parts.updates import mean_metrics, scan_minibatches
from acmelike.agents.sac.agent import SACConfig
from acmelike.agents.sac.losses import (
    critic_loss,
    policy_loss,
    soft_targets,
    temperature_loss,
)
from acmelike.networks import Network, make_network
from acmelike.types import EnvironmentSpec, Transition

# Deviations outside of these are of no use and overflow sooner or later.
MIN_LOG_STD, MAX_LOG_STD = -20.0, 2.0


class GaussianPolicy(nn.Module):
    """Observations `[B, ...]` to a Gaussian of `[B, A]`.

    Attributes:
      torso: observations to features.
      num_actions: A, the dimensions of an action.
    """

    torso: nn.Module
    num_actions: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> Gaussian:
        # A head of zeros: at first actions are the same everywhere, as likely on one
        # side of the middle as on the other. A random head prefers a side.
        zeros = nn.initializers.zeros
        head = nn.Dense(2 * self.num_actions, kernel_init=zeros, name="head")
        mean, log_std = jnp.split(head(self.torso(observation)), 2, axis=-1)
        return Gaussian(mean, jnp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD))


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
    """

    learned: Learned
    target: Any
    optimizer: Learned


@dataclass(frozen=True, kw_only=True)
class SAC:
    """The functions of SAC; implements `Agent`.

    Attributes:
      config: the agent's settings.
      policy: gives the distribution of actions.
      critics: observations and actions to values `[2, B]`.
      bounds: of actions.
      observation: `[1, ...]`, one of zeros.
    """

    config: SACConfig
    policy: Network
    critics: Network
    bounds: Bounds
    observation: Any

    needs_jax = True

    @property
    def target_entropy(self) -> float:
        """As the settings say, or -A: appendix D of the paper."""
        given = self.config.target_entropy
        return -float(self.bounds.size) if given is None else given

    def init(self, key: jax.Array) -> TrainingState:
        keys = jax.random.split(key)
        action = np.zeros((1, self.bounds.size), np.float32)
        learned = Learned(
            policy=self.policy.init(keys[0], self.observation),
            critics=self.critics.init(keys[1], self.observation, action),
            log_temperature=jnp.log(jnp.float32(self.config.initial_temperature)),
        )
        adam = optax.adam(self.config.learning_rate)
        return TrainingState(
            learned, learned.critics, Learned(*map(adam.init, learned))
        )

    def parameters(self, state: TrainingState) -> Any:
        return state.learned.policy

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Samples the squashed Gaussian; without noise it takes its median."""
        gaussian = self.policy.apply(parameters, observation)
        return PolicyOutput(self.bounds.scale(sample(gaussian, noise)), state)

    def update(
        self, state: TrainingState, data: Transition, probabilities: Any, key: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        num_items = data.r_t.shape[0]
        noise = jax.random.normal(key, (num_items, 2, self.bounds.size))
        state, (losses, metrics) = scan_minibatches(
            self._update_once, state, (data, noise), self.config.num_updates_per_call
        )
        return state, UpdateOutputs(
            loss=jnp.mean(losses), metrics=mean_metrics(metrics)
        )

    def _update_once(
        self, state: TrainingState, inputs: tuple[Transition, jax.Array]
    ) -> tuple[TrainingState, tuple[jax.Array, dict[str, jax.Array]]]:
        """Critics, policy, temperature, target, as in algorithm 1 of the paper."""
        batch, noise = inputs
        noise_tm1, noise_t = noise[:, 0], noise[:, 1]
        learned, adam = state.learned, optax.adam(self.config.learning_rate)
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
        critics, critics_adam = apply_gradients(
            adam, gradient, state.optimizer.critics, learned.critics
        )

        def actor_loss(policy: Any) -> tuple[jax.Array, jax.Array]:
            gaussian = self.policy.apply(policy, batch.o_tm1)
            q_tm1 = self.critics.apply(
                critics, batch.o_tm1, sample(gaussian, noise_tm1)
            )
            log_prob_tm1 = log_prob(gaussian, noise_tm1)
            return policy_loss(q_tm1, log_prob_tm1, temperature), log_prob_tm1

        gradient, log_prob_tm1 = jax.grad(actor_loss, has_aux=True)(learned.policy)
        policy, policy_adam = apply_gradients(
            adam, gradient, state.optimizer.policy, learned.policy
        )

        gradient = jax.grad(temperature_loss)(
            learned.log_temperature, log_prob_tm1, self.target_entropy
        )
        log_temperature, temperature_adam = apply_gradients(
            adam, gradient, state.optimizer.log_temperature, learned.log_temperature
        )
        target = optax.incremental_update(
            critics, state.target, self.config.target_rate
        )
        state = TrainingState(
            Learned(policy, critics, log_temperature),
            target,
            Learned(policy_adam, critics_adam, temperature_adam),
        )
        return state, (
            loss,
            {"temperature": temperature, "entropy": -jnp.mean(log_prob_tm1)},
        )


def make_sac(config: SACConfig, spec: EnvironmentSpec) -> SAC:
    """Makes the agent for an environment."""
    shape, sizes = spec.observations.shape, config.hidden_sizes
    bounds = bounds_of(spec.actions, "sac")
    torso = make_network(config.network, shape, sizes)
    return SAC(
        config=config,
        policy=GaussianPolicy(torso, bounds.size),
        critics=twin_critics(config.network, shape, sizes),
        bounds=bounds,
        observation=np.zeros((1, *shape), spec.observations.dtype),
    )
