"""The recurrent Q-network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from acmelike.agents.dqn.networks import QNetwork
from acmelike.networks import (
    LSTMState,
    init_lstm,
    lstm,
    lstm_state,
    make_torso,
    namespace,
    reset_where,
)
from acmelike.types import Nested

# In the place of the action before the first of an episode.
NO_ACTION = -1


class Memory(NamedTuple):
    """What the agent knows of the steps before an observation.

    Attributes:
      hidden: `[B, H]` of the LSTM.
      cell: `[B, H]` of the LSTM.
      action: `[B]` int32, the last one, `NO_ACTION` where an episode begins.
    """

    hidden: Any
    cell: Any
    action: Any


@dataclass(frozen=True, kw_only=True)
class RecurrentQNetwork:
    """Dense layers, an LSTM that also hears of the last action, and dueling streams.

    Section 2.3 of "Recurrent Experience Replay in Distributed Reinforcement Learning",
    https://openreview.net/forum?id=r1lyTjAqYX.

    Attributes:
      num_actions: A.
      torso_sizes: units of each layer before the LSTM.
      num_units: H, of the LSTM.
      dueling: whether value and advantage have streams of their own.
    """

    num_actions: int
    torso_sizes: tuple[int, ...]
    num_units: int
    dueling: bool

    needs_jax = False

    def init(self, key: Any, observation_shape: tuple[int, ...]) -> Nested:
        """Random parameters; the key is one of JAX's."""
        import jax

        torso, core, head = jax.random.split(key, 3)
        features = make_torso(observation_shape, self.torso_sizes)
        num_inputs = features.num_features + self.num_actions
        return {
            "torso": features.init(torso),
            "lstm": init_lstm(core, num_inputs, self.num_units),
            "head": self._head.init(head, (self.num_units,)),
        }

    def initial(self, batch_size: int) -> Memory:
        """The memory where an episode begins."""
        state = lstm_state(batch_size, self.num_units)
        return Memory(*state, np.full(batch_size, NO_ACTION, np.int32))

    def step(
        self, parameters: Nested, memory: Memory, observation: Any
    ) -> tuple[Any, LSTMState]:
        """Action values `[B, A]` of observations `[B, ...]`, in NumPy or JAX."""
        features = self._features(parameters, observation, memory.action)
        state = LSTMState(memory.hidden, memory.cell)
        hidden, state = lstm(parameters["lstm"], state, features)
        return self._head.apply(parameters["head"], hidden), state

    def unroll(
        self,
        parameters: Nested,
        memory: Memory,
        observation: Any,
        action: Any,
        is_first: Any,
    ) -> tuple[Any, Memory]:
        """The same for T steps in a row, in JAX.

        Args:
          parameters: of the network.
          memory: before the first step, `[B, ...]`.
          observation: `[T, B, ...]`.
          action: `[T, B]` those that answered them.
          is_first: `[T, B]` where an episode begins, and so the memory anew.

        Returns:
          Action values `[T, B, A]`, and the memory after the last step, where that of
          an episode that ends there is of no use.
        """
        import jax
        import jax.numpy as jnp

        length, batch_size = is_first.shape
        last_action = jnp.concatenate([memory.action[None], action[:-1]])
        last_action = jnp.where(is_first, NO_ACTION, last_action)

        def merged(x: Any) -> Any:
            return jnp.reshape(x, (length * batch_size, *x.shape[2:]))

        # All steps at once but for the LSTM, the only part that needs them in order.
        features = self._features(parameters, merged(observation), merged(last_action))
        features = jnp.reshape(features, (length, batch_size, -1))
        initial = lstm_state(batch_size, self.num_units)

        def remember(state: LSTMState, now: Any) -> tuple[LSTMState, Any]:
            x, begins = now
            hidden, state = lstm(
                parameters["lstm"], reset_where(state, initial, begins), x
            )
            return state, hidden

        state, hidden = jax.lax.scan(
            remember, LSTMState(memory.hidden, memory.cell), (features, is_first)
        )
        values = self._head.apply(parameters["head"], merged(hidden))
        values = jnp.reshape(values, (length, batch_size, self.num_actions))
        return values, Memory(*state, action[-1])

    @property
    def _head(self) -> QNetwork:
        return QNetwork(
            num_actions=self.num_actions, hidden_sizes=(), dueling=self.dueling
        )

    def _features(self, parameters: Nested, observation: Any, last_action: Any) -> Any:
        """What the LSTM is told, `[B, F + A]`."""
        xp = namespace(observation)
        torso = make_torso(observation.shape[1:], self.torso_sizes)
        features = torso.apply(parameters["torso"], observation)
        # Zeros for `NO_ACTION`.
        one_hot = last_action[:, None] == np.arange(self.num_actions)
        return xp.concatenate([features, one_hot.astype(np.float32)], axis=-1)
