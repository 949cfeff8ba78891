"""TD3 as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.critics import make_twin_critics
from acmelike.agents.parts.heads import SMALL
from acmelike.agents.parts.optimizer import TrainingState, make_adam
from acmelike.agents.parts.torso import make_torso
from acmelike.agents.td3.agent import TD3Config
from acmelike.agents.td3.losses import critic_loss, smoothed
from acmelike.learners import scan_minibatches
from acmelike.types import EnvironmentSpec, Transition


class TD3:
    """The functions of TD3; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: TD3Config, spec: EnvironmentSpec):
        self.config, self.bounds = config, bounds_of(spec.actions, "td3")
        head = nn.Dense(self.bounds.size, kernel_init=SMALL)
        self.policy: Any = nn.Sequential([make_torso(config, spec), head, jnp.tanh])
        self.critics = make_twin_critics(config, spec)
        self.observation = spec.zero_observations(1)
        self.adam = make_adam(config.optimizer)

    def init(self, key: jax.Array) -> tuple[Any, ...]:
        """The states of policy and critics, their targets, and a count of updates."""
        keys, action = jax.random.split(key), jnp.zeros((1, self.bounds.size))
        policy = self.policy.init(keys[0], self.observation)
        critics = self.critics.init(keys[1], self.observation, action)
        states = (TrainingState.init(x, self.adam) for x in (policy, critics))
        return (*states, (policy, critics), jnp.zeros((), jnp.int32))

    def parameters(self, state: tuple[Any, ...]) -> Any:
        return state[0].parameters

    def act(self, parameters: Any, state: Any, observation: Any, noise: Any) -> Any:
        action = jnp.clip(self.policy.apply(parameters, observation) + noise, -1, 1)
        return PolicyOutput(self.bounds.scale(action), state)

    def update(self, state: Any, data: Transition, probabilities: Any, key: Any) -> Any:
        shape = data.r_t.shape[0], self.bounds.size
        noise = self.config.smoothing * jax.random.normal(key, shape)
        inputs, num_updates = (data, noise), self.config.num_updates_per_call
        return scan_minibatches(self._update_once, state, inputs, num_updates)

    def _update_once(self, state: Any, inputs: Any) -> tuple[Any, UpdateOutputs]:
        """Critics, and with a delay the policy and the targets: algorithm 1."""
        (policy, critics, targets, count), (batch, noise) = state, inputs
        config, adam, q = self.config, self.adam, self.critics.apply
        a_t = self.policy.apply(targets[0], batch.o_t)
        q_t = q(targets[1], batch.o_t, smoothed(a_t, noise, config.smoothing_clip))

        def critics_loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            q_tm1 = q(parameters, batch.o_tm1, self.bounds.unscale(batch.a_tm1))
            return critic_loss(q_tm1, batch.r_t, batch.discount_t, q_t), jnp.mean(q_tm1)

        gradient_of = jax.value_and_grad(critics_loss, has_aux=True)
        (loss, mean_q), gradients = gradient_of(critics.parameters)
        critics = critics.updated(adam, gradients)

        def policy_loss(parameters: Any) -> jax.Array:
            action = self.policy.apply(parameters, batch.o_tm1)
            return -jnp.mean(q(critics.parameters, batch.o_tm1, action)[0])

        def delayed(policy: Any, targets: Any) -> Any:
            policy = policy.updated(adam, jax.grad(policy_loss)(policy.parameters))
            newest = policy.parameters, critics.parameters
            return policy, optax.incremental_update(newest, targets, config.target_rate)

        count += 1
        due = count % config.policy_period == 0
        policy, targets = jax.lax.cond(due, delayed, lambda *x: x, policy, targets)
        metrics = {"gradient_norm": critics.optimizer.gradient_norm, "mean_q": mean_q}
        return (policy, critics, targets, count), UpdateOutputs(loss, metrics=metrics)
