"""DQN as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.dqn.agent import DQNConfig
from acmelike.agents.dqn.losses import dqn_loss, importance_weights
from acmelike.agents.parts.builders import check_discrete
from acmelike.agents.parts.epsilon_greedy import MIN_PRIORITY, epsilon_greedy
from acmelike.agents.parts.heads import QHead
from acmelike.agents.parts.optimizer import apply_gradients, decaying_adam
from acmelike.agents.parts.updates import TargetState, scan_minibatches
from acmelike.networks import Network, make_network, take_action
from acmelike.types import EnvironmentSpec, Transition


@dataclass(frozen=True, kw_only=True)
class DQN:
    """The functions of DQN; implements `Agent`.

    Attributes:
      config: the agent's settings.
      network: observations `[B, ...]` to action values `[B, A]`.
      observation: `[1, ...]`, one of zeros.
    """

    config: DQNConfig
    network: Network
    observation: Any

    needs_jax = True

    def init(self, key: jax.Array) -> TargetState:
        parameters = self.network.init(key, self.observation)
        return TargetState.init(parameters, decaying_adam(self.config.optimizer))

    def parameters(self, state: TargetState) -> Any:
        return state.parameters

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Epsilon-greedy; the state is each environment's epsilon."""
        values = self.network.apply(parameters, observation)
        action = epsilon_greedy(values, state, noise)
        if not self.config.actor_priorities:
            return PolicyOutput(action, state)
        extras = {"q_a": take_action(values, action), "q_max": values.max(axis=-1)}
        return PolicyOutput(action, state, extras)

    def update(
        self, state: TargetState, data: Transition, probabilities: Any, key: Any
    ) -> tuple[TargetState, UpdateOutputs]:
        config = self.config
        state, (losses, errors) = scan_minibatches(
            self._update_once, state, (data, probabilities), config.num_updates_per_call
        )
        sizes = jnp.abs(errors)
        priorities = jnp.reshape(sizes, (-1,)) + MIN_PRIORITY
        return state, UpdateOutputs(
            loss=jnp.mean(losses),
            priorities=priorities if config.prioritized else None,
            metrics={"td_error": jnp.mean(sizes)},
        )

    def _update_once(
        self, state: TargetState, minibatch: tuple[Transition, jax.Array]
    ) -> tuple[TargetState, tuple[jax.Array, jax.Array]]:
        batch, probabilities = minibatch
        config, optimizer = self.config, decaying_adam(self.config.optimizer)
        weights = jnp.ones_like(probabilities)
        if config.prioritized:
            weights = importance_weights(probabilities, config.importance_exponent)

        def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            return dqn_loss(
                self.network.apply,
                parameters,
                state.target,
                batch,
                weights,
                double=config.double,
                huber_delta=config.huber_delta,
            )

        (value, errors), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.parameters
        )
        parameters, optimizer_state = apply_gradients(
            optimizer, gradients, state.optimizer, state.parameters
        )
        period = config.target_update_period
        state = state.updated(parameters, optimizer_state, period=period)
        return state, (value, errors)


def make_dqn(config: DQNConfig, spec: EnvironmentSpec) -> DQN:
    """Makes the agent for an environment."""
    shape = spec.observations.shape
    torso = make_network(config.network, shape, config.hidden_sizes)
    num_actions = check_discrete("dqn", spec, config.network)
    network = nn.Sequential([torso, QHead(num_actions, config.dueling)])
    return DQN(
        config=config,
        network=network,
        observation=np.zeros((1, *shape), spec.observations.dtype),
    )
