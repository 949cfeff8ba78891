"""A network with an LSTM between features and head, by step or unrolled."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.networks import LSTM, lstm_state, reset_where
from acmelike.types import Nested


class RecurrentNetwork(nn.Module):
    """Torso, optional LSTM and head: (observations, state) to (outputs, next state).

    Attributes:
      torso: observations to features.
      head: features to the outputs.
      lstm_size: H, units of the LSTM between the two; 0 for none.
      num_actions: A, if the LSTM also gets the last action; 0 if not.
    """

    torso: nn.Module
    head: nn.Module
    lstm_size: int
    num_actions: int = 0

    def setup(self) -> None:
        self.lstm = LSTM(self.lstm_size) if self.lstm_size else None

    def __call__(
        self, state: Nested, observation: Nested, last_action: Any = None
    ) -> tuple[Any, Nested]:
        """One step `[B, ...]`: the outputs and the next state."""
        features, state = self.core(state, self.features(observation, last_action))
        return self.head(features), state

    def features(self, observation: Nested, last_action: Any = None) -> jax.Array:
        """The input of the LSTM, `[B, F + A]`; a negative action becomes A zeros."""
        features: jax.Array = self.torso(observation)
        if not self.num_actions:
            return features
        one_hot = jax.nn.one_hot(last_action, self.num_actions)
        return jnp.concatenate([features, one_hot], axis=-1)

    def core(self, state: Nested, x: jax.Array) -> tuple[jax.Array, Nested]:
        """One step of the LSTM, `[B, H]`."""
        return (x, state) if self.lstm is None else self.lstm(state, x)

    def outputs(self, features: jax.Array) -> Any:
        """The outputs of the head for features `[..., H]`."""
        return self.head(features)


def unroll(
    network: RecurrentNetwork,
    parameters: Any,
    state: Nested,
    observation: Nested,
    is_first: jax.Array,
    last_action: jax.Array | None = None,
) -> tuple[Any, Nested]:
    """The outputs of T steps in a row, and the state after the last.

    Args:
      network: all of it but the LSTM is evaluated for all steps at once.
      parameters: of the network.
      state: before the first step, `[B, ...]`.
      observation: `[T, B, ...]`.
      is_first: `[T, B]`, where an episode starts and so the state is reset.
      last_action: `[T, B]`, if the network takes it.
    """
    apply: Any = network.apply
    length, batch_size = is_first.shape

    def merged(nest: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), nest)

    inputs = merged(observation), merged(last_action)
    features = apply(parameters, *inputs, method="features")
    if network.lstm_size:
        initial = lstm_state(batch_size, network.lstm_size)

        def step(state: Nested, now: Any) -> tuple[Nested, jax.Array]:
            x, resets = now
            state = reset_where(state, initial, resets)
            hidden, state = apply(parameters, state, x, method="core")
            return state, hidden

        features = features.reshape(length, batch_size, -1)
        state, hidden = jax.lax.scan(step, state, (features, is_first))
        features = merged(hidden)
    outputs = apply(parameters, features, method="outputs")
    shape = length, batch_size
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), outputs), state
