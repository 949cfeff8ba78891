"""Networks as flax modules, and the functions that agents put around them.

Modules of flax are imported when they are first used: actors need none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.networks.categorical import (
        entropy_of,
        log_prob_of,
        log_softmax,
        take_action,
    )
    from acmelike.networks.choice import Network, NetworkSource, check_network
    from acmelike.networks.convolution import Conv
    from acmelike.networks.normalizer import (
        Moments,
        init_moments,
        normalize,
        update_moments,
    )
    from acmelike.networks.preparation import (
        Preparation,
        check_observations,
        mask_of,
        preparation_of,
    )
    from acmelike.networks.recurrent import LSTM, reset_where
    from acmelike.networks.recurrent_state import LSTMState, lstm_state
    from acmelike.networks.torso import (
        MLP,
        ImpalaResNet,
        Joined,
        MinAtarConv,
        NatureConv,
        make_network,
    )

_NAMES = {
    "acmelike.networks.categorical": (
        "entropy_of",
        "log_prob_of",
        "log_softmax",
        "take_action",
    ),
    "acmelike.networks.choice": ("Network", "NetworkSource", "check_network"),
    "acmelike.networks.convolution": ("Conv",),
    "acmelike.networks.normalizer": (
        "Moments",
        "init_moments",
        "normalize",
        "update_moments",
    ),
    "acmelike.networks.preparation": (
        "Preparation",
        "check_observations",
        "mask_of",
        "preparation_of",
    ),
    "acmelike.networks.recurrent": ("LSTM", "reset_where"),
    "acmelike.networks.recurrent_state": ("LSTMState", "lstm_state"),
    "acmelike.networks.torso": (
        "MLP",
        "ImpalaResNet",
        "Joined",
        "MinAtarConv",
        "NatureConv",
        "make_network",
    ),
}

__all__ = [
    "LSTM",
    "MLP",
    "Conv",
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
    "mask_of",
    "normalize",
    "preparation_of",
    "reset_where",
    "take_action",
    "update_moments",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
