"""DQN as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.dqn.agent import DQNConfig
from acmelike.agents.dqn.losses import dqn_loss
from acmelike.agents.parts.builders import check_discrete
from acmelike.agents.parts.epsilon_greedy import epsilon_greedy
from acmelike.agents.parts.heads import QHead, only_allowed
from acmelike.agents.parts.optimizer import make_adam
from acmelike.agents.parts.q_learning import MIN_PRIORITY
from acmelike.agents.parts.torso import make_torso
from acmelike.agents.parts.updates import TargetState, importance_weights
from acmelike.learners import scan_minibatches
from acmelike.networks import Network, mask_of, take_action
from acmelike.types import EnvironmentSpec, Transition


class DQN:
    """The functions of DQN; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: DQNConfig, spec: EnvironmentSpec):
        self.config = config
        head = QHead(check_discrete("dqn", spec, config), config.dueling)
        self.network: Network = nn.Sequential([make_torso(config, spec), head])
        self.observation = spec.zero_observations(1)
        self.optimizer = make_adam(config.optimizer)

    def init(self, key: jax.Array) -> TargetState:
        parameters = self.network.init(key, self.observation)
        return TargetState.init(parameters, self.optimizer)

    def parameters(self, state: TargetState) -> Any:
        return state.parameters

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Epsilon-greedy; the state is each environment's epsilon."""
        values = self._values(parameters, observation)
        action = epsilon_greedy(values, state, noise, mask_of(observation))
        if not self.config.actor_priorities:
            return PolicyOutput(action, state)
        extras = {"q_a": take_action(values, action), "q_max": values.max(axis=-1)}
        return PolicyOutput(action, state, extras)

    def _values(self, parameters: Any, observation: Any) -> jax.Array:
        """Action values `[B, A]`."""
        values = self.network.apply(parameters, observation)
        return only_allowed(values, mask_of(observation))  # type: ignore[no-any-return]

    def update(
        self, state: TargetState, data: Transition, probabilities: Any, key: Any
    ) -> tuple[TargetState, UpdateOutputs]:
        items, num_updates = (data, probabilities), self.config.num_updates_per_call
        return scan_minibatches(self._update_once, state, items, num_updates)

    def _update_once(
        self, state: TargetState, minibatch: tuple[Transition, jax.Array]
    ) -> tuple[TargetState, UpdateOutputs]:
        (batch, probabilities), config = minibatch, self.config
        weights = jnp.ones_like(probabilities)
        if config.prioritized:
            weights = importance_weights(probabilities, config.importance_exponent)
        loss = partial(
            dqn_loss,
            self._values,
            double=config.double,
            huber_delta=config.huber_delta,
        )
        (value, (errors, q_a)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.parameters, state.target, batch, weights
        )
        period = config.target_update_period
        state = state.updated(self.optimizer, gradients, period=period)
        sizes = jnp.abs(errors)
        return state, UpdateOutputs(
            loss=value,
            priorities=sizes + MIN_PRIORITY if config.prioritized else None,
            metrics={
                "gradient_norm": state.optimizer.gradient_norm,
                "mean_q": jnp.mean(q_a),
                "td_error": jnp.mean(sizes),
            },
        )
