"""Twin critics of continuous actions."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.networks import (
    MLP,
    NetworkSource,
    Preparation,
    make_network,
    preparation_of,
)
from acmelike.networks.choice import are_images
from acmelike.types import EnvironmentSpec, Nested


class Critic(nn.Module):
    """Observations `[B, ...]` and actions `[B, A]` from -1 to 1 to values `[B]`.

    Attributes:
      torso: observations to features, which the actions are put beside; None for the
        prepared observations themselves.
      preparation: of observations, without a torso.
      hidden_sizes: units of the dense layers after that.
    """

    torso: nn.Module | None
    preparation: Preparation
    hidden_sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, observation: Nested, action: jax.Array) -> jax.Array:
        if self.torso is not None:
            inputs = [self.torso(observation)]
        else:
            arrays = jax.tree.leaves(self.preparation(observation))
            inputs = [array.reshape(array.shape[0], -1) for array in arrays]
        x = MLP(self.hidden_sizes)(jnp.concatenate([*inputs, action], axis=-1))
        return nn.Dense(1)(x)[..., 0]


def twin_critics(
    network: NetworkSource, spec: EnvironmentSpec, hidden_sizes: tuple[int, ...]
) -> Any:
    """Two critics, as a module whose values are `[2, B]`.

    Their parameters are stacked, `[2, ...]`, so that one product of matrices serves
    both. Two because the smaller value overestimates less: section 6 of "Soft
    Actor-Critic Algorithms and Applications", arXiv 1812.05905.
    """
    kind = nn.vmap(
        Critic,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        axis_size=2,
    )
    torso, preparation = None, preparation_of(spec, network)
    is_dense = network == "auto" and not any(map(are_images, preparation.shapes))
    if network != "mlp" and not is_dense:
        torso = make_network(network, spec, hidden_sizes)
    return kind(torso, preparation, hidden_sizes)
