"""The state of an LSTM. Imports no JAX, as actors make the first state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class LSTMState(NamedTuple):
    """What an LSTM remembers.

    Attributes:
      hidden: `[B, H]`, its last output.
      cell: `[B, H]`.
    """

    hidden: Any
    cell: Any


def lstm_state(batch_size: int, num_units: int) -> LSTMState:
    """The state before the first input: zeros."""
    zeros = np.zeros((batch_size, num_units), np.float32)
    return LSTMState(zeros, zeros)
