"""What turns observations into features: dense layers, or convolutions for pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from acmelike.networks.dense import flat, init_mlp, mlp
from acmelike.types import Nested

Activation: TypeAlias = Literal["relu", "tanh"]


@dataclass(frozen=True, kw_only=True)
class DenseTorso:
    """Dense layers: observations `[B, ...]` to features `[B, F]`.

    Attributes:
      observation_shape: of one observation.
      hidden_sizes: units of each layer; the last is F.
      activation: after each layer.
    """

    observation_shape: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"

    needs_jax = False

    @property
    def num_features(self) -> int:
        """F."""
        return (math.prod(self.observation_shape), *self.hidden_sizes)[-1]

    def init(self, key: Any) -> Nested:
        """Random parameters; the key is one of JAX's."""
        return init_mlp(key, math.prod(self.observation_shape), self.hidden_sizes)

    def apply(self, parameters: Nested, observation: Any) -> Any:
        """Features, in NumPy or JAX."""
        return mlp(parameters, flat(observation), self.activation)


@dataclass(frozen=True, kw_only=True)
class ConvTorso:
    """A convolution and dense layers: images `[B, H, W, C]` to features `[B, F]`.

    Without padding and with a step of one, as small images want: the network of Young
    and Tian 2019, "MinAtar", arXiv 1903.03176.

    Attributes:
      observation_shape: of one image, `(H, W, C)`.
      num_channels: of the convolution.
      kernel: the sides of its square window.
      hidden_sizes: units of each dense layer; the last is F.
    """

    observation_shape: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    num_channels: int = 16
    kernel: int = 3

    needs_jax = True

    @property
    def num_features(self) -> int:
        """F."""
        return (self._num_outputs(), *self.hidden_sizes)[-1]

    def init(self, key: Any) -> Nested:
        """Random parameters; the key is one of JAX's."""
        import jax

        keys = jax.random.split(key)
        num_inputs = self.observation_shape[-1]
        shape = (self.kernel, self.kernel, num_inputs, self.num_channels)
        return {
            "kernel": jax.nn.initializers.lecun_normal()(keys[0], shape),
            "biases": jax.numpy.zeros(self.num_channels),
            "dense": init_mlp(keys[1], self._num_outputs(), self.hidden_sizes),
        }

    def apply(self, parameters: Nested, observation: Any) -> Any:
        """Features, in JAX."""
        import jax

        x = jax.lax.conv_general_dilated(
            observation.astype(np.float32),
            parameters["kernel"],
            window_strides=(1, 1),
            padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + parameters["biases"])
        return mlp(parameters["dense"], flat(x))

    def _num_outputs(self) -> int:
        height, width, _ = self.observation_shape
        less = self.kernel - 1
        return (height - less) * (width - less) * self.num_channels


Torso: TypeAlias = DenseTorso | ConvTorso


def make_torso(
    observation_shape: Sequence[int],
    hidden_sizes: tuple[int, ...],
    activation: Activation = "relu",
) -> Torso:
    """Convolutions for observations with three axes, else dense layers."""
    shape = tuple(observation_shape)
    if len(shape) == 3:
        return ConvTorso(observation_shape=shape, hidden_sizes=hidden_sizes)
    return DenseTorso(
        observation_shape=shape, hidden_sizes=hidden_sizes, activation=activation
    )
