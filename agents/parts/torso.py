"""The network from observations to features, as the settings of an agent say."""

from __future__ import annotations

from acmelike.agents.parts.builders import TorsoConfig
from acmelike.networks import make_network
from acmelike.networks.torso import Activation, Torso
from acmelike.types import EnvironmentSpec


def make_torso(
    config: TorsoConfig, spec: EnvironmentSpec, activation: Activation = "relu"
) -> Torso:
    """Makes the network; see `make_network`."""
    return make_network(
        config.network, spec, config.hidden_sizes, activation, config.embedding_size
    )
