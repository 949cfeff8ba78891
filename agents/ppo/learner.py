"""PPO as pure functions: some epochs over the unrolls of one version, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from acmelike.adders import Unroll
from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.builders import check_discrete
from acmelike.agents.parts.heads import SMALL
from acmelike.agents.parts.optimizer import apply_gradients, decaying_adam
from acmelike.agents.parts.softmax import sample
from acmelike.agents.parts.updates import mean_metrics, shuffled
from acmelike.agents.ppo.agent import PPOConfig
from acmelike.agents.ppo.losses import Steps, advantages, ppo_loss
from acmelike.networks import (
    Moments,
    Network,
    init_moments,
    log_softmax,
    make_network,
    normalize,
    update_moments,
)
from acmelike.types import EnvironmentSpec


class TrainingState(NamedTuple):
    """All that learning changes.

    Attributes:
      networks: the parameters of "policy" and "value".
      optimizer: its state.
      observations: their moments; None if they are not normalised.
      rewards: their moments; None if they are not normalised.
    """

    networks: dict[str, Any]
    optimizer: Any
    observations: Moments | None
    rewards: Moments | None


@dataclass(frozen=True, kw_only=True)
class PPO:
    """The functions of PPO; implements `Agent`.

    Attributes:
      config: the agent's settings.
      policy: observations `[B, ...]` to logits `[B, A]`.
      value: observations `[B, ...]` to values `[B, 1]`.
      observation: `[1, ...]`, one of zeros.
    """

    config: PPOConfig
    policy: Network
    value: Network
    observation: Any

    needs_jax = True

    def init(self, key: jax.Array) -> TrainingState:
        keys, config = jax.random.split(key), self.config
        networks = {
            "policy": self.policy.init(keys[0], self.observation),
            "value": self.value.init(keys[1], self.observation),
        }
        shape = self.observation.shape[1:]
        return TrainingState(
            networks=networks,
            optimizer=self._optimizer().init(networks),
            observations=init_moments(shape) if config.normalize_observations else None,
            rewards=init_moments(()) if config.normalize_rewards else None,
        )

    def parameters(self, state: TrainingState) -> Any:
        return {"moments": state.observations, "policy": state.networks["policy"]}

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Draws actions, and returns their log-probabilities."""
        observation = _seen(parameters["moments"], observation)
        logits = self.policy.apply(parameters["policy"], observation)
        action, extras = sample(logits, noise)
        return PolicyOutput(action, state, extras)

    def update(
        self, state: TrainingState, data: Unroll, probabilities: Any, key: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Makes `num_epochs * num_minibatches` updates on unrolls `[B, T, ...]`."""
        config, rewards = self.config, state.rewards
        if rewards is not None:
            mask = data.mask.reshape(-1)
            rewards = update_moments(rewards, data.r_t.reshape(-1), mask)
            scale = jnp.sqrt(rewards.variance + rewards.mean**2 + 1e-8)
            data = data._replace(r_t=data.r_t / scale)
        steps = self._steps(state, data)
        order = shuffled(key, config.num_epochs, steps.mask.size)
        order = order.reshape(config.num_epochs * config.num_minibatches, -1)

        def update_once(carry: Any, picked: jax.Array) -> Any:
            networks, optimizer = carry
            minibatch = jax.tree.map(lambda x: x[picked], steps)
            (loss, metrics), gradients = jax.value_and_grad(self._loss, has_aux=True)(
                networks, state.observations, minibatch
            )
            carry = apply_gradients(self._optimizer(), gradients, optimizer, networks)
            return carry, (loss, metrics)

        (networks, optimizer), (losses, metrics) = jax.lax.scan(
            update_once, (state.networks, state.optimizer), order
        )
        # Only now, as the actions were chosen with the moments of before.
        observations = state.observations
        if observations is not None:
            observations = update_moments(observations, steps.observation, steps.mask)
        state = TrainingState(networks, optimizer, observations, rewards)
        return state, UpdateOutputs(
            loss=jnp.mean(losses), metrics=mean_metrics(metrics)
        )

    def _steps(self, state: TrainingState, data: Unroll) -> Steps:
        """Unrolls `[B, T, ...]` as single steps `[B * T, ...]` with advantages."""
        num_unrolls, length = data.mask.shape
        seen = _seen(state.observations, data.o_t.reshape(-1, *data.o_t.shape[2:]))
        values = self.value.apply(state.networks["value"], seen)
        values = values.reshape(num_unrolls, length + 1)
        estimated = jax.vmap(advantages, in_axes=(0, 0, 0, 0, None))(
            data.r_t,
            data.discount_t * self.config.discount,
            data.mask,
            values,
            self.config.gae_lambda,
        )
        steps = Steps(
            observation=data.o_t[:, :-1],
            action=data.a_t,
            mask=data.mask,
            log_prob=data.extras["log_prob"],
            value=values[:, :-1],
            advantage=estimated.advantage,
            target=estimated.target,
        )
        flat: Steps = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
        return flat

    def _loss(
        self, networks: dict[str, Any], moments: Moments | None, steps: Steps
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        seen = _seen(moments, steps.observation)
        log_probs = log_softmax(self.policy.apply(networks["policy"], seen))
        value = self.value.apply(networks["value"], seen)[:, 0]
        return ppo_loss(log_probs, value, steps, self.config)

    def _optimizer(self) -> Any:
        return decaying_adam(self.config.optimizer, eps=1e-5)


def make_ppo(config: PPOConfig, spec: EnvironmentSpec) -> PPO:
    """Makes the agent for an environment."""
    shape = spec.observations.shape
    num_actions = check_discrete("ppo", spec, config.network)
    heads = [nn.Dense(num_actions, kernel_init=SMALL), nn.Dense(1)]
    policy, value = (
        nn.Sequential(
            [
                make_network(
                    config.network, shape, config.hidden_sizes, config.activation
                ),
                head,
            ]
        )
        for head in heads
    )
    observation = np.zeros((1, *shape), spec.observations.dtype)
    return PPO(config=config, policy=policy, value=value, observation=observation)


def _seen(moments: Moments | None, observation: Any) -> Any:
    """Observations as the networks see them."""
    return observation if moments is None else normalize(moments, observation)
