"""Networks with a state, written once for NumPy and JAX."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.networks.dense import dense, init_dense, namespace
from acmelike.types import Nested

# An array of NumPy or of JAX.
AnyArray = Any


class LSTMState(NamedTuple):
    """What an LSTM remembers.

    Attributes:
      hidden: `[B, H]`, its last output.
      cell: `[B, H]`.
    """

    hidden: AnyArray
    cell: AnyArray


def lstm_state(batch_size: int, num_units: int) -> LSTMState:
    """The state before the first input: zeros."""
    zeros = np.zeros((batch_size, num_units), np.float32)
    return LSTMState(zeros, zeros)


def init_lstm(key: AnyArray, num_inputs: int, num_units: int) -> Nested:
    """The parameters of an LSTM of H units: weights `[I + H, 4 H]`, biases `[4 H]`."""
    parameters = init_dense(key, num_inputs + num_units, 4 * num_units)
    # Remember at first (Jozefowicz et al. 2015, section 2.2).
    biases = parameters["biases"].at[num_units : 2 * num_units].set(1.0)
    return {**parameters, "biases": biases}


def lstm(
    parameters: Nested, state: LSTMState, x: AnyArray
) -> tuple[AnyArray, LSTMState]:
    """One step: inputs `[B, I]` to outputs `[B, H]` and the next state.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    xp = namespace(x)
    gates = dense(parameters, xp.concatenate([x, state.hidden], axis=-1))
    write, keep, read, new = xp.split(gates, 4, axis=-1)
    cell = _sigmoid(xp, keep) * state.cell + _sigmoid(xp, write) * xp.tanh(new)
    hidden = _sigmoid(xp, read) * xp.tanh(cell)
    return hidden, LSTMState(hidden, cell)


def reset_where(state: Nested, initial: Nested, begins: AnyArray) -> Nested:
    """A state `[B, ...]` that is `initial` again where `begins` `[B]` says so."""
    xp = namespace(begins)

    def choose(now: AnyArray, first: AnyArray) -> AnyArray:
        return xp.where(begins.reshape(-1, *[1] * (now.ndim - 1)), first, now)

    return optree.tree_map(choose, state, initial)


def _sigmoid(xp: Any, x: AnyArray) -> AnyArray:
    # By the hyperbolic tangent, which overflows nowhere.
    return 0.5 * (xp.tanh(0.5 * x) + 1.0)
