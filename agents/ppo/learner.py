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
from acmelike.agents.parts.optimizer import TrainingState, decaying_adam
from acmelike.agents.parts.updates import mean_metrics, shuffled
from acmelike.agents.ppo.agent import PPOConfig
from acmelike.agents.ppo.losses import PPOSteps, advantages, ppo_loss
from acmelike.networks import (
    Moments,
    Network,
    init_moments,
    make_network,
    normalize,
    preparation_of,
    update_moments,
)
from acmelike.types import EnvironmentSpec, Nested


class PPOState(NamedTuple):
    """All that learning changes.

    Attributes:
      learned: the parameters of "policy" and "value", with their optimizer.
      observations: the moments of each of their arrays; None for what is not
        normalised.
      rewards: their moments; None if they are not normalised.
    """

    learned: TrainingState
    observations: tuple[Moments | None, ...]
    rewards: Moments | None


class PPO:
    """The functions of PPO; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: PPOConfig, spec: EnvironmentSpec):
        self.config = config
        torso = config.network, spec, config.hidden_sizes, config.activation
        self.actions = distribution_of(spec.actions, "ppo")
        head = self.actions.make_head()
        self.policy: Network = nn.Sequential([make_network(*torso), head])
        self.value: Network = nn.Sequential([make_network(*torso), nn.Dense(1)])
        # Categories and bytes are of one size already.
        self.are_normalized = tuple(
            config.normalize_observations and part is not None and part.is_plain
            for part in preparation_of(spec, config.network).parts
        )
        self.observation = spec.zero_observations(1)
        self.optimizer = decaying_adam(config.optimizer, eps=1e-5)

    def init(self, key: jax.Array) -> PPOState:
        keys, config = jax.random.split(key), self.config
        policy = self.policy.init(keys[0], self.observation)
        value = self.value.init(keys[1], self.observation)
        networks, arrays = {"policy": policy, "value": value}, self.observation
        pairs = zip(self.are_normalized, jax.tree.leaves(arrays), strict=True)
        return PPOState(
            TrainingState.init(networks, self.optimizer),
            tuple(init_moments(x.shape[1:]) if do else None for do, x in pairs),
            init_moments(()) if config.normalize_rewards else None,
        )

    def parameters(self, state: PPOState) -> Any:
        policy = state.learned.parameters["policy"]
        return {"moments": state.observations, "policy": policy}

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Draws actions, and returns their log-probabilities."""
        observation = _seen(parameters["moments"], observation)
        outputs = self._outputs(parameters["policy"], observation)
        action, extras = self.actions.sample(outputs, noise)
        return PolicyOutput(action, state, extras)

    def update(
        self, state: PPOState, data: Unroll, probabilities: Any, key: jax.Array
    ) -> tuple[PPOState, UpdateOutputs]:
        """Makes `num_epochs * num_minibatches` updates on unrolls `[B, T, ...]`."""
        config, (learned, observations, rewards) = self.config, state
        if rewards is not None:
            rewards = update_moments(rewards, _flat(data.r_t), _flat(data.mask))
            scale = jnp.sqrt(rewards.variance + rewards.mean**2 + 1e-8)
            data = data._replace(r_t=data.r_t / scale)
        steps = self._steps(learned.parameters["value"], observations, data)
        order = shuffled(key, config.num_epochs, steps.mask.size)
        order = order.reshape(config.num_epochs * config.num_minibatches, -1)

        def update_once(learned: TrainingState, picked: jax.Array) -> Any:
            minibatch = jax.tree.map(lambda x: x[picked], steps)
            (loss, metrics), gradients = jax.value_and_grad(self._loss, has_aux=True)(
                learned.parameters, minibatch
            )
            return learned.updated(self.optimizer, gradients), (loss, metrics)

        learned, (losses, metrics) = jax.lax.scan(update_once, learned, order)
        # Only now, as the actions were chosen with the moments of before.
        pairs = zip(observations, jax.tree.leaves(data.o_t), strict=True)
        observations = tuple(
            None if x is None else update_moments(x, _flat(o_t[:, :-1]), steps.mask)
            for x, o_t in pairs
        )
        outputs = UpdateOutputs(loss=jnp.mean(losses), metrics=mean_metrics(metrics))
        return PPOState(learned, observations, rewards), outputs

    def _outputs(self, policy: Any, observation: Nested) -> Any:
        """Of which the distribution of actions is made, `[B, O]`."""
        outputs = self.policy.apply(policy, observation)
        return self.actions.allowed(outputs, observation)

    def _steps(
        self, value: Any, moments: tuple[Moments | None, ...], data: Unroll
    ) -> PPOSteps:
        """Unrolls `[B, T, ...]` as single steps `[B * T, ...]` with advantages."""
        seen = _seen(moments, data.o_t)
        values = self.value.apply(value, jax.tree.map(_flat, seen))
        values = values.reshape(data.is_first.shape)
        discount_t = data.discount_t * self.config.discount
        estimate = jax.vmap(partial(advantages, gae_lambda=self.config.gae_lambda))
        advantage, target = estimate(data.r_t, discount_t, data.mask, values)
        steps = PPOSteps(
            observation=jax.tree.map(lambda x: x[:, :-1], seen),
            action=self.actions.chosen(data),
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


def _seen(moments: tuple[Moments | None, ...], observation: Nested) -> Nested:
    """Observations as the networks see them."""
    arrays, nest = jax.tree.flatten(observation)
    seen = [
        x if of_x is None else normalize(of_x, x)
        for of_x, x in zip(moments, arrays, strict=True)
    ]
    return jax.tree.unflatten(nest, seen)


def _flat(x: Any) -> Any:
    """Steps `[B * T, ...]` of unrolls `[B, T, ...]`."""
    return x.reshape(-1, *x.shape[2:])
