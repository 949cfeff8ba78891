"""The network: features, an LSTM if there is one, and two heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from acmelike.networks import (
    LSTMState,
    Torso,
    dense,
    init_dense,
    init_lstm,
    lstm,
    lstm_state,
    reset_where,
)
from acmelike.types import Nested


class Heads(NamedTuple):
    """What the network says of observations.

    Attributes:
      logits: `[..., A]` of the actions.
      value: `[...]`, what is to be expected.
    """

    logits: Any
    value: Any


@dataclass(frozen=True, kw_only=True)
class ImpalaNetwork:
    """Observations to logits and values; the policy and the value share their features.

    Attributes:
      torso: the features.
      lstm_size: units of the LSTM after them; 0 for none.
      num_actions: A.
    """

    torso: Torso
    lstm_size: int
    num_actions: int

    needs_jax = False

    def init(self, key: Any) -> Nested:
        """Random parameters; at first all actions are nearly alike."""
        import jax

        keys = jax.random.split(key, 4)
        num_features = self.lstm_size or self.torso.num_features
        logits = init_dense(keys[2], num_features, self.num_actions)
        parameters = {
            "torso": self.torso.init(keys[0]),
            "logits": {**logits, "weights": logits["weights"] * 0.01},
            "value": init_dense(keys[3], num_features, 1),
        }
        if self.lstm_size:
            num_inputs = self.torso.num_features
            parameters["lstm"] = init_lstm(keys[1], num_inputs, self.lstm_size)
        return parameters

    def initial_state(self, batch_size: int) -> Nested:
        """The state `[B, ...]` before the first observation of an episode."""
        return lstm_state(batch_size, self.lstm_size) if self.lstm_size else ()

    def step(
        self, parameters: Nested, state: Nested, observation: Any
    ) -> tuple[Heads, Nested]:
        """One step `[B, ...]`, in NumPy or JAX; returns the next state too."""
        features = self.torso.apply(parameters["torso"], observation)
        if self.lstm_size:
            features, state = lstm(parameters["lstm"], state, features)
        return _heads(parameters, features), state

    def unroll(
        self, parameters: Nested, state: Nested, observation: Any, is_first: Any
    ) -> Heads:
        """Steps `[T, B, ...]` from a state on, in JAX.

        The state begins anew where `is_first` `[T, B]` says so.
        """
        import jax

        length, batch_size = is_first.shape
        flat = observation.reshape(-1, *observation.shape[2:])
        features = self.torso.apply(parameters["torso"], flat)
        features = features.reshape(length, batch_size, -1)
        if self.lstm_size:
            initial = self.initial_state(batch_size)

            def step(state: LSTMState, inputs: Any) -> tuple[LSTMState, Any]:
                x, begins = inputs
                output, state = lstm(
                    parameters["lstm"], reset_where(state, initial, begins), x
                )
                return state, output

            _, features = jax.lax.scan(step, state, (features, is_first))
        return _heads(parameters, features)


def _heads(parameters: Nested, features: Any) -> Heads:
    value = dense(parameters["value"], features)[..., 0]
    return Heads(dense(parameters["logits"], features), value)
