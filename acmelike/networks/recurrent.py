"""Networks with a state."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.networks.recurrent_state import LSTMState
from acmelike.types import Nested


class LSTM(nn.Module):
    """A long short-term memory of H units.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    Attributes:
      num_units: H.
    """

    num_units: int

    @nn.compact
    def __call__(self, state: LSTMState, x: jax.Array) -> tuple[jax.Array, LSTMState]:
        """One step: inputs `[B, I]` to outputs `[B, H]` and the next state."""
        gates = nn.Dense(4 * self.num_units, bias_init=_forget_bias, name="gates")(
            jnp.concatenate([x, state.hidden], axis=-1)
        )
        write, keep, read, new = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(keep) * state.cell + nn.sigmoid(write) * jnp.tanh(new)
        hidden = nn.sigmoid(read) * jnp.tanh(cell)
        return hidden, LSTMState(hidden, cell)


def _forget_bias(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
    """Makes the LSTM remember at first: Jozefowicz et al. 2015, section 2.2."""
    num_units = shape[0] // 4
    return jnp.zeros(shape, dtype).at[num_units : 2 * num_units].set(1)


def reset_where(state: Nested, initial: Nested, is_first: jax.Array) -> Nested:
    """A state `[B, ...]`, reset to `initial` where `is_first` `[B]` is true."""

    def choose(now: Any, first: Any) -> jax.Array:
        return jnp.where(is_first.reshape(-1, *[1] * (now.ndim - 1)), first, now)

    return jax.tree.map(choose, state, initial)
