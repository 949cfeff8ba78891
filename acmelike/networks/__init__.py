"""Networks, whose code evaluates them in NumPy as in JAX."""

from acmelike.networks.categorical import (
    gumbel_noise,
    log_prob_of,
    log_softmax,
    take_action,
)
from acmelike.networks.dense import dense, flat, init_dense, init_mlp, mlp, namespace
from acmelike.networks.normalizer import (
    Moments,
    init_moments,
    normalize,
    update_moments,
)
from acmelike.networks.recurrent import (
    LSTMState,
    init_lstm,
    lstm,
    lstm_state,
    reset_where,
)
from acmelike.networks.torso import Activation, Torso, check_images, make_torso

__all__ = [
    "Activation",
    "LSTMState",
    "Moments",
    "Torso",
    "check_images",
    "dense",
    "flat",
    "gumbel_noise",
    "init_dense",
    "init_lstm",
    "init_mlp",
    "init_moments",
    "log_prob_of",
    "log_softmax",
    "lstm",
    "lstm_state",
    "make_torso",
    "mlp",
    "namespace",
    "normalize",
    "reset_where",
    "take_action",
    "update_moments",
]
