"""Learning: some epochs over the unrolls of one version, in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from acmelike.adders import Unroll
from acmelike.agent import UpdateOutputs
from acmelike.agents.ppo.config import PPOConfig
from acmelike.agents.ppo.losses import (
    advantages,
    masked_mean,
    policy_loss,
    standardize,
    value_loss,
)
from acmelike.agents.ppo.networks import PolicyParameters, PPONetwork
from acmelike.learners.adam import decaying_adam
from acmelike.networks import (
    Moments,
    init_moments,
    log_softmax,
    take_action,
    update_moments,
)


class Trained(NamedTuple):
    """What gradients change.

    Attributes:
      policy: the parameters of the policy.
      value: the parameters of the value.
    """

    policy: Any
    value: Any


class TrainingState(NamedTuple):
    """All that learning changes.

    Attributes:
      trained: the parameters.
      optimizer: its state.
      observations: their moments; None if they are not normalised.
      rewards: their moments; None if they are not normalised.
      key: of the order in which steps are used.
    """

    trained: Trained
    optimizer: Any
    observations: Moments | None
    rewards: Moments | None
    key: jax.Array


class Steps(NamedTuple):
    """Single steps `[N, ...]`, and what was thought of them before the first update."""

    observation: jax.Array
    action: jax.Array
    mask: jax.Array
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    target: jax.Array


@dataclass(frozen=True, kw_only=True)
class PPOCore:
    """The learner's pure functions.

    Attributes:
      config: the agent's settings.
      network: gives logits and values.
    """

    config: PPOConfig
    network: PPONetwork

    needs_jax = True

    def init(self, key: jax.Array) -> TrainingState:
        """Random parameters."""
        keys = jax.random.split(key, 3)
        trained = Trained(
            self.network.init_policy(keys[0]), self.network.init_value(keys[1])
        )
        return TrainingState(
            trained=trained,
            optimizer=self._optimizer().init(trained),
            observations=(
                init_moments(self.network.torso.observation_shape)
                if self.config.normalize_observations
                else None
            ),
            rewards=init_moments(()) if self.config.normalize_rewards else None,
            key=keys[2],
        )

    def parameters(self, state: TrainingState) -> PolicyParameters:
        """What the policy acts with."""
        return PolicyParameters(state.observations, state.trained.policy)

    def update(
        self, state: TrainingState, data: Unroll, probabilities: jax.Array
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Makes `num_epochs * num_minibatches` updates on unrolls `[B, T, ...]`."""
        config = self.config
        rewards, data = self._scaled(state.rewards, data)
        steps = self._steps(state, data)
        key, order_key = jax.random.split(state.key)
        order = shuffled(order_key, config.num_epochs, steps.mask.size)
        order = order.reshape(config.num_epochs * config.num_minibatches, -1)

        def update_once(carry: Any, picked: jax.Array) -> Any:
            minibatch = jax.tree.map(lambda x: x[picked], steps)
            trained, optimizer = carry
            return self._update_once(trained, optimizer, state.observations, minibatch)

        (trained, optimizer), losses = jax.lax.scan(
            update_once, (state.trained, state.optimizer), order
        )
        # Only now, as the actions were chosen with what was known before.
        observations = state.observations
        if observations is not None:
            observations = update_moments(observations, steps.observation, steps.mask)
        state = TrainingState(trained, optimizer, observations, rewards, key)
        return state, UpdateOutputs(loss=jnp.mean(losses), priorities=None)

    def _scaled(
        self, rewards: Moments | None, data: Unroll
    ) -> tuple[Moments | None, Unroll]:
        """The moments of rewards that have seen the data, and the data scaled."""
        if rewards is None:
            return None, data
        rewards = update_moments(rewards, data.r_t.reshape(-1), data.mask.reshape(-1))
        scale = jnp.sqrt(rewards.variance + rewards.mean**2 + 1e-8)
        return rewards, data._replace(r_t=data.r_t / scale)

    def _steps(self, state: TrainingState, data: Unroll) -> Steps:
        """Unrolls `[B, T, ...]` as single steps `[B * T, ...]` with advantages."""
        num_unrolls, length = data.mask.shape
        seen = data.o_t.reshape(-1, *data.o_t.shape[2:])
        values = self.network.value(state.trained.value, state.observations, seen)
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

    def _update_once(
        self, trained: Trained, optimizer: Any, moments: Moments | None, steps: Steps
    ) -> tuple[tuple[Trained, Any], jax.Array]:
        loss, gradients = jax.value_and_grad(self._loss)(trained, moments, steps)
        changes, optimizer = self._optimizer().update(gradients, optimizer)
        return (optax.apply_updates(trained, changes), optimizer), loss

    def _loss(
        self, trained: Trained, moments: Moments | None, steps: Steps
    ) -> jax.Array:
        config, mask, network = self.config, steps.mask, self.network
        policy = PolicyParameters(moments, trained.policy)
        log_probs = log_softmax(network.logits(policy, steps.observation))
        value = network.value(trained.value, moments, steps.observation)
        advantage = steps.advantage
        if config.normalize_advantages:
            advantage = standardize(advantage, mask)
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        return (
            policy_loss(
                take_action(log_probs, steps.action),
                steps.log_prob,
                advantage,
                mask,
                config.clip,
            )
            + config.value_weight
            * value_loss(value, steps.value, steps.target, mask, config.clip_values)
            - config.entropy_weight * masked_mean(entropy, mask)
        )

    def _optimizer(self) -> optax.GradientTransformation:
        return decaying_adam(self.config, eps=1e-5)


def shuffled(key: jax.Array, num_orders: int, num_steps: int) -> jax.Array:
    """The numbers below N in random orders, `[R, N]` int32.

    Each is sorted by random bits above its own, which the sort of plain numbers is for;
    `jax.random.permutation` sorts pairs, and took a sixth of a whole update.
    """
    mask = (1 << max(num_steps - 1, 1).bit_length()) - 1
    bits = jax.random.bits(key, (num_orders, num_steps), jnp.uint32)
    numbers = jnp.arange(num_steps, dtype=jnp.uint32)
    ordered = jnp.sort(bits & ~jnp.uint32(mask) | numbers, stable=False)
    order: jax.Array = (ordered & jnp.uint32(mask)).astype(jnp.int32)
    return order
