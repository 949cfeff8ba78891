"""Networks as flax modules, and the functions that agents put around them.

Modules of flax are imported when they are first used: actors need none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from acmelike.networks.choice import (
    Network,
    NetworkSource,
    check_network,
)
from acmelike.networks.lstm_state import LSTMState, lstm_state
from acmelike.networks.normalizer import (
    Moments,
    init_moments,
    normalize,
    update_moments,
)
from acmelike.networks.preparation import (
    Preparation,
    check_observations,
    preparation_of,
)

if TYPE_CHECKING:
    from acmelike.networks.categorical import (
        entropy_of,
        log_prob_of,
        log_softmax,
        take_action,
    )
    from acmelike.networks.recurrent import LSTM, reset_where
    from acmelike.networks.torso import (
        MLP,
        ImpalaResNet,
        Joined,
        MinAtarConv,
        NatureConv,
        make_network,
    )

_HOMES = {
    "LSTM": "recurrent",
    "MLP": "torso",
    "ImpalaResNet": "torso",
    "Joined": "torso",
    "MinAtarConv": "torso",
    "NatureConv": "torso",
    "entropy_of": "categorical",
    "log_prob_of": "categorical",
    "log_softmax": "categorical",
    "make_network": "torso",
    "reset_where": "recurrent",
    "take_action": "categorical",
}

__all__ = [
    "LSTM",
    "MLP",
    "ImpalaResNet",
    "Joined",
    "LSTMState",
    "MinAtarConv",
    "Moments",
    "NatureConv",
    "Network",
    "NetworkSource",
    "Preparation",
    "check_network",
    "check_observations",
    "entropy_of",
    "init_moments",
    "log_prob_of",
    "log_softmax",
    "lstm_state",
    "make_network",
    "normalize",
    "preparation_of",
    "reset_where",
    "take_action",
    "update_moments",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
