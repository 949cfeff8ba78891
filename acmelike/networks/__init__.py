"""Networks that need no compilation: the same code evaluates them in NumPy and JAX."""

from acmelike.networks.dense import dense, flat, init_dense, init_mlp, mlp, namespace
from acmelike.networks.recurrent import (
    LSTMState,
    init_lstm,
    lstm,
    lstm_state,
    restart,
)

__all__ = [
    "LSTMState",
    "dense",
    "flat",
    "init_dense",
    "init_lstm",
    "init_mlp",
    "lstm",
    "lstm_state",
    "mlp",
    "namespace",
    "restart",
]
