"""SAC as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.critics import make_twin_critics
from acmelike.agents.parts.gaussian import Gaussian, log_prob, sample
from acmelike.agents.parts.optimizer import TrainingState, make_adam
from acmelike.agents.parts.torso import make_torso
from acmelike.agents.sac.agent import SACConfig
from acmelike.agents.sac.losses import (
    critic_loss,
    policy_loss,
    soft_targets,
    temperature_loss,
)
from acmelike.learners import scan_minibatches
from acmelike.networks import Network
from acmelike.types import EnvironmentSpec, Transition

# Deviations outside of these are of no use and overflow sooner or later.
MIN_LOG_STD, MAX_LOG_STD = -20.0, 2.0


class GaussianPolicy(nn.Module):
    """Observations `[B, ...]` to a Gaussian of `[B, A]`.

    Attributes:
      torso: observations to features.
      size: A, the dimensions of an action.
    """

    torso: nn.Module
    size: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> Gaussian:
        # A head of zeros: at first actions are the same everywhere, as likely on one
        # side of the middle as on the other. A random head prefers a side.
        zeros = nn.initializers.zeros
        head = nn.Dense(2 * self.size, kernel_init=zeros, name="head")
        mean, log_std = jnp.split(head(self.torso(observation)), 2, axis=-1)
        return Gaussian(mean, jnp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD))


class SACState(NamedTuple):
    """All that learning changes.

    Attributes:
      policy: the parameters, with their optimizer.
      critics: of both; likewise.
      log_temperature: `[]`; likewise.
      target: the parameters of the target critics.
    """

    policy: TrainingState
    critics: TrainingState
    log_temperature: TrainingState
    target: Any


class SAC:
    """The functions of SAC; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: SACConfig, spec: EnvironmentSpec):
        self.config, self.bounds = config, bounds_of(spec.actions, "sac")
        torso = make_torso(config, spec)
        self.policy: Network = GaussianPolicy(torso, self.bounds.size)
        self.critics = make_twin_critics(config, spec)
        self.observation = spec.zero_observations(1)
        self.adam = make_adam(config.optimizer)
        # As the settings say, or -A: appendix D of the paper.
        given = config.target_entropy
        self.target_entropy = -float(self.bounds.size) if given is None else given

    def init(self, key: jax.Array) -> SACState:
        keys, action = jax.random.split(key), np.zeros((1, self.bounds.size), "f")
        policy = self.policy.init(keys[0], self.observation)
        critics = self.critics.init(keys[1], self.observation, action)
        log_temperature = jnp.log(jnp.float32(self.config.initial_temperature))
        init = partial(TrainingState.init, optimizer=self.adam)
        return SACState(init(policy), init(critics), init(log_temperature), critics)

    def parameters(self, state: SACState) -> Any:
        return state.policy.parameters

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Samples the squashed Gaussian; without noise it takes its median."""
        gaussian = self.policy.apply(parameters, observation)
        return PolicyOutput(self.bounds.scale(sample(gaussian, noise)), state)

    def update(
        self, state: SACState, data: Transition, probabilities: Any, key: jax.Array
    ) -> tuple[SACState, UpdateOutputs]:
        noise = jax.random.normal(key, (data.r_t.shape[0], 2, self.bounds.size))
        inputs, num_updates = (data, noise), self.config.num_updates_per_call
        return scan_minibatches(self._update_once, state, inputs, num_updates)

    def _update_once(
        self, state: SACState, inputs: tuple[Transition, jax.Array]
    ) -> tuple[SACState, UpdateOutputs]:
        """Critics, policy, temperature, target, as in algorithm 1 of the paper."""
        (policy, critics, log_temperature, target), (batch, noise) = state, inputs
        noise_tm1, noise_t = noise[:, 0], noise[:, 1]
        adam, q = self.adam, self.critics.apply
        temperature = jnp.exp(log_temperature.parameters)

        gaussian_t = self.policy.apply(policy.parameters, batch.o_t)
        q_t = q(target, batch.o_t, sample(gaussian_t, noise_t))
        log_prob_t = log_prob(gaussian_t, noise_t)
        y = soft_targets(batch.r_t, batch.discount_t, q_t, log_prob_t, temperature)
        a_tm1 = self.bounds.unscale(batch.a_tm1)

        def critics_loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            q_tm1 = q(parameters, batch.o_tm1, a_tm1)
            return critic_loss(q_tm1, y), jnp.mean(q_tm1)

        gradient_of = jax.value_and_grad(critics_loss, has_aux=True)
        (loss, mean_q), gradients = gradient_of(critics.parameters)
        critics = critics.updated(adam, gradients)

        def actor_loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            gaussian = self.policy.apply(parameters, batch.o_tm1)
            q_tm1 = q(critics.parameters, batch.o_tm1, sample(gaussian, noise_tm1))
            log_prob_tm1 = log_prob(gaussian, noise_tm1)
            return policy_loss(q_tm1, log_prob_tm1, temperature), log_prob_tm1

        gradients, log_prob_tm1 = jax.grad(actor_loss, has_aux=True)(policy.parameters)
        policy = policy.updated(adam, gradients)

        gradients = jax.grad(temperature_loss)(
            log_temperature.parameters, log_prob_tm1, self.target_entropy
        )
        log_temperature = log_temperature.updated(adam, gradients)
        target = optax.incremental_update(
            critics.parameters, target, self.config.target_rate
        )
        state = SACState(policy, critics, log_temperature, target)
        metrics = {
            "entropy": -jnp.mean(log_prob_tm1),
            "gradient_norm": critics.optimizer.gradient_norm,
            "mean_q": mean_q,
            "temperature": temperature,
        }
        return state, UpdateOutputs(loss=loss, metrics=metrics)
