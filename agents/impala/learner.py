"""IMPALA as pure functions: acting, and one update for each batch of unrolls."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.adders import Unroll
from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.impala.agent import ImpalaConfig
from acmelike.agents.impala.losses import unroll_loss
from acmelike.agents.parts.distributions import Distribution, distribution_of
from acmelike.agents.parts.optimizer import TrainingState, make_adam
from acmelike.agents.parts.recurrent import RecurrentNetwork, unroll
from acmelike.agents.parts.torso import make_torso
from acmelike.networks import LSTMState, lstm_state, mask_of
from acmelike.types import EnvironmentSpec, Nested


class ActorCritic(NamedTuple):
    """The outputs of a network for a policy and a value.

    Attributes:
      policy: `[..., O]`, from which the actions' distribution is made.
      value: `[...]` of the observations.
    """

    policy: jax.Array
    value: jax.Array


class ActorCriticHead(nn.Module):
    """Features `[..., F]` to the outputs of a policy and values.

    Attributes:
      actions: their distribution.
    """

    actions: Distribution

    @nn.compact
    def __call__(self, features: jax.Array) -> ActorCritic:
        policy: Any = self.actions.make_head("policy")
        value = nn.Dense(1, name="value")(features)[..., 0]
        return ActorCritic(policy(features), value)


class Impala:
    """The functions of IMPALA; implements `Agent`."""

    needs_jax = True

    def __init__(self, config: ImpalaConfig, spec: EnvironmentSpec):
        self.config = config
        self.actions = distribution_of(spec.actions, "impala")
        self.network = RecurrentNetwork(
            torso=make_torso(config, spec),
            head=ActorCriticHead(self.actions),
            lstm_size=config.lstm_size,
        )
        self.observation = spec.zero_observations(1)
        self.optimizer = make_adam(config.optimizer)

    def init(self, key: jax.Array) -> TrainingState:
        size = self.config.lstm_size
        state = lstm_state(1, size) if size else ()
        parameters = self.network.init(key, state, self.observation)
        return TrainingState.init(parameters, self.optimizer)

    def parameters(self, state: TrainingState) -> Any:
        return state.parameters

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        """Draws actions; the extras have an LSTM's state before the observation."""
        heads, next_state = self.network.apply(parameters, state, observation)
        policy = self.actions.allowed(heads.policy, mask_of(observation))
        action, extras = self.actions.sample(policy, noise)
        if isinstance(state, LSTMState):
            extras |= state._asdict()
        return PolicyOutput(action, next_state, extras)

    def update(
        self, state: TrainingState, data: Unroll, probabilities: Any, key: Any
    ) -> tuple[TrainingState, UpdateOutputs]:
        """Makes one update on unrolls `[B, T, ...]`."""
        (loss, metrics), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            state.parameters, data
        )
        state = state.updated(self.optimizer, gradients)
        metrics["gradient_norm"] = state.optimizer.gradient_norm
        return state, UpdateOutputs(loss=loss, metrics=metrics)

    def _loss(
        self, parameters: Any, data: Unroll
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        o_t, is_first = jax.tree.map(
            lambda x: jnp.swapaxes(x, 0, 1), (data.o_t, data.is_first)
        )
        state = first_state(data)
        heads, _ = unroll(self.network, parameters, state, o_t, is_first)
        policy = self.actions.allowed(heads.policy, mask_of(o_t))[:-1]
        chosen = self.actions.chosen(data.a_t, data.extras)
        losses, metrics = jax.vmap(
            partial(unroll_loss, config=self.config), in_axes=(1, 1, 1, 0, 0, 0, 0)
        )(
            self.actions.log_prob(policy, jnp.swapaxes(chosen, 0, 1)),
            self.actions.entropy(policy),
            heads.value,
            data.r_t * self.config.reward_scale,
            data.discount_t * self.config.discount,
            data.mask,
            data.extras["log_prob"],
        )
        num_steps = jnp.maximum(jnp.sum(data.mask), 1.0)
        means = {name: jnp.sum(x) / num_steps for name, x in metrics.items()}
        return jnp.sum(losses) / num_steps, means


def first_state(data: Unroll) -> Nested:
    """The network's state before the unrolls, as the actors had it."""
    names = [name for name in LSTMState._fields if name in data.extras]
    return LSTMState(*(data.extras[name] for name in names)) if names else ()
