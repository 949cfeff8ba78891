"""PPO as pure functions: some epochs over the unrolls of one version, in one call."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.adders import Unroll
from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.distributions import distribution_of
from acmelike.agents.parts.optimizer import TrainingState, make_adam
from acmelike.agents.parts.torso import make_torso
from acmelike.agents.parts.updates import shuffled
from acmelike.agents.ppo.agent import PPOConfig
from acmelike.agents.ppo.losses import PPOSteps, advantages, ppo_loss
from acmelike.learners import mean_outputs
from acmelike.networks import Moments, Network, init_moments, mask_of, update_moments
from acmelike.types import EnvironmentSpec, Nested


class PPOState(NamedTuple):
    """All that learning changes.

    Attributes:
      learned: the parameters of "policy" and "value", with their optimizer.
      rewards: their moments; None if they are not normalised.
    """

    learned: TrainingState
    rewards: Moments | None


class PPO:
    """The functions of PPO; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: PPOConfig, spec: EnvironmentSpec):
        self.config = config
        torso = config, spec, config.activation
        self.actions = distribution_of(spec.actions, "ppo")
        head = self.actions.make_head()
        self.policy: Network = nn.Sequential([make_torso(*torso), head])
        self.value: Network = nn.Sequential([make_torso(*torso), nn.Dense(1)])
        self.observation = spec.zero_observations(1)
        self.optimizer = make_adam(config.optimizer, eps=1e-5)

    def init(self, key: jax.Array) -> PPOState:
        keys = jax.random.split(key)
        policy = self.policy.init(keys[0], self.observation)
        value = self.value.init(keys[1], self.observation)
        networks = {"policy": policy, "value": value}
        rewards = init_moments(()) if self.config.normalize_rewards else None
        return PPOState(TrainingState.init(networks, self.optimizer), rewards)

    def parameters(self, state: PPOState) -> Any:
        return state.learned.parameters["policy"]

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Draws actions, and returns their log-probabilities."""
        outputs = self._outputs(parameters, observation)
        action, extras = self.actions.sample(outputs, noise)
        return PolicyOutput(action, state, extras)

    def update(
        self, state: PPOState, data: Unroll, probabilities: Any, key: jax.Array
    ) -> tuple[PPOState, UpdateOutputs]:
        """Makes `num_epochs * num_minibatches` updates on unrolls `[B, T, ...]`."""
        config, (learned, rewards) = self.config, state
        if rewards is not None:
            rewards = update_moments(rewards, _flat(data.r_t), _flat(data.mask))
            scale = jnp.sqrt(rewards.variance + rewards.mean**2 + 1e-8)
            data = data._replace(r_t=data.r_t / scale)
        steps = self._steps(learned.parameters["value"], data)
        order = shuffled(key, config.num_epochs, steps.mask.size)
        order = order.reshape(config.num_epochs * config.num_minibatches, -1)

        def update_once(learned: TrainingState, picked: jax.Array) -> Any:
            minibatch = jax.tree.map(lambda x: x[picked], steps)
            gradient_of = jax.value_and_grad(self._loss, has_aux=True)
            (loss, metrics), gradients = gradient_of(learned.parameters, minibatch)
            learned = learned.updated(self.optimizer, gradients)
            metrics["gradient_norm"] = learned.optimizer.gradient_norm
            return learned, UpdateOutputs(loss=loss, metrics=metrics)

        learned, outputs = jax.lax.scan(update_once, learned, order)
        return PPOState(learned, rewards), mean_outputs(outputs)

    def _outputs(self, policy: Any, observation: Nested) -> Any:
        """The parameters `[B, O]` of the distribution of actions."""
        outputs = self.policy.apply(policy, observation)
        return self.actions.allowed(outputs, mask_of(observation))

    def _steps(self, value: Any, data: Unroll) -> PPOSteps:
        """Unrolls `[B, T, ...]` as single steps `[B * T, ...]` with advantages."""
        values = self.value.apply(value, jax.tree.map(_flat, data.o_t))
        values = values.reshape(data.is_first.shape)
        discount_t = data.discount_t * self.config.discount
        estimate = jax.vmap(partial(advantages, gae_lambda=self.config.gae_lambda))
        advantage, target = estimate(data.r_t, discount_t, data.mask, values)
        steps = PPOSteps(
            observation=jax.tree.map(lambda x: x[:, :-1], data.o_t),
            action=self.actions.chosen(data.a_t, data.extras),
            mask=data.mask,
            log_prob=data.extras["log_prob"],
            value=values[:, :-1],
            advantage=advantage,
            target=target,
        )
        flat: PPOSteps = jax.tree.map(_flat, steps)
        return flat

    def _loss(
        self, networks: dict[str, Any], steps: PPOSteps
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        outputs = self._outputs(networks["policy"], steps.observation)
        value = self.value.apply(networks["value"], steps.observation)[:, 0]
        log_prob = self.actions.log_prob(outputs, steps.action)
        entropy = self.actions.entropy(outputs)
        return ppo_loss(log_prob, entropy, value, steps, self.config)


def _flat(x: Any) -> Any:
    """Steps `[B * T, ...]` of unrolls `[B, T, ...]`."""
    return x.reshape(-1, *x.shape[2:])
