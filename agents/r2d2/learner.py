"""R2D2 as pure functions: acting, and several updates in one compiled call."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from acmelike.adders import Sequence
from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.builders import check_discrete
from acmelike.agents.parts.epsilon_greedy import epsilon_greedy
from acmelike.agents.parts.heads import QHead, only_allowed
from acmelike.agents.parts.optimizer import make_adam
from acmelike.agents.parts.q_learning import MIN_PRIORITY
from acmelike.agents.parts.recurrent import RecurrentNetwork
from acmelike.agents.parts.torso import make_torso
from acmelike.agents.parts.updates import TargetState, importance_weights, masked_mean
from acmelike.agents.r2d2.agent import Memory, PolicyState, R2D2Config, initial_state
from acmelike.agents.r2d2.losses import (
    learned_steps,
    r2d2_loss,
    sequence_priorities,
    td_errors,
    unroll_with_burn_in,
)
from acmelike.learners import scan_minibatches
from acmelike.networks import mask_of
from acmelike.types import EnvironmentSpec


class R2D2:
    """The functions of R2D2; implements `Agent`.

    The network is that of section 2.3 of "Recurrent Experience Replay in Distributed
    Reinforcement Learning", https://openreview.net/forum?id=r1lyTjAqYX, without the
    last reward: features, an LSTM that also gets the last action, and dueling streams.
    """

    needs_jax = True

    def __init__(self, config: R2D2Config, spec: EnvironmentSpec):
        self.config = config
        num_actions = check_discrete("r2d2", spec, config)
        self.network = RecurrentNetwork(
            torso=make_torso(config, spec),
            head=QHead(num_actions, config.dueling),
            lstm_size=config.lstm_size,
            num_actions=num_actions,
        )
        self.observation = spec.zero_observations(1)
        self.optimizer = make_adam(config.optimizer)

    def init(self, key: jax.Array) -> TargetState:
        lstm_size = self.config.lstm_size
        memory, _ = initial_state(1, lstm_size=lstm_size, epsilons=(0.0,))
        inputs = memory.lstm, self.observation, memory.action
        return TargetState.init(self.network.init(key, *inputs), self.optimizer)

    def parameters(self, state: TargetState) -> Any:
        return state.parameters

    def act(
        self, parameters: Any, state: PolicyState, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Epsilon-greedy. The extras are the memory before the observation."""
        memory, epsilon = state
        apply: Any = self.network.apply
        values, lstm = apply(parameters, memory.lstm, observation, memory.action)
        mask = mask_of(observation)
        values = only_allowed(values, mask)
        action = epsilon_greedy(values, epsilon, noise, mask)
        state = PolicyState(Memory(lstm.hidden, lstm.cell, action), epsilon)
        return PolicyOutput(action, state, memory._asdict())

    def update(
        self, state: TargetState, data: Sequence, probabilities: Any, key: Any
    ) -> tuple[TargetState, UpdateOutputs]:
        items, num_updates = (data, probabilities), self.config.num_updates_per_call
        return scan_minibatches(self._update_once, state, items, num_updates)

    def _update_once(
        self, state: TargetState, minibatch: tuple[Sequence, jax.Array]
    ) -> tuple[TargetState, UpdateOutputs]:
        data, probabilities = minibatch
        config, batch = self.config, _time_major(data)
        mask = learned_steps(batch, burn_in=config.burn_in)
        weights = importance_weights(probabilities, config.importance_exponent)

        def unrolled(parameters: Any) -> jax.Array:
            return unroll_with_burn_in(
                self.network, parameters, batch, burn_in=config.burn_in
            )

        q_target = unrolled(state.target)

        def loss(parameters: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            errors, q_a = td_errors(
                unrolled(parameters),
                q_target,
                batch,
                n_step=config.n_step,
                discount=config.discount,
                rescale_values=config.rescale_values,
            )
            value = r2d2_loss(errors, mask, weights, huber_delta=config.huber_delta)
            return value, (errors, q_a)

        (value, (errors, q_a)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.parameters
        )
        priorities = sequence_priorities(
            errors, mask, max_fraction=config.priority_max_fraction
        )
        period = config.target_update_period
        state = state.updated(self.optimizer, gradients, period=period)
        return state, UpdateOutputs(
            loss=value,
            priorities=priorities + MIN_PRIORITY,
            metrics={
                "gradient_norm": state.optimizer.gradient_norm,
                "mean_q": masked_mean(q_a, mask),
                "priority": jnp.mean(priorities),
            },
        )


def _time_major(batch: Sequence) -> Sequence:
    """From `[B, T, ...]` to `[T, B, ...]`, except extras, which have no time axis."""
    steps: Sequence = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1), batch._replace(extras={})
    )
    return steps._replace(extras=batch.extras)
