"""What turns observations into features: dense layers, or convolutions for pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np

from acmelike.errors import ConfigError
from acmelike.networks.dense import flat, init_mlp, mlp, namespace
from acmelike.types import Nested

Activation: TypeAlias = Literal["relu", "tanh"]
KERNEL = 3  # The sides of a convolution's window.


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

    The channels of a stack of images `[B, N, H, W, C]` are those of all N.

    Without padding and with a step of one, as small images want, and a relu after it:
    the network of Young and Tian 2019, "MinAtar", arXiv 1903.03176.

    Attributes:
      observation_shape: of one image, `(H, W, C)`, or of N, `(N, H, W, C)`.
      num_channels: of the convolution.
      kernel: the sides of its square window.
      hidden_sizes: units of each dense layer; the last is F.
      activation: after each dense layer.
    """

    observation_shape: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"
    num_channels: int = 16
    kernel: int = KERNEL

    @property
    def num_features(self) -> int:
        """F."""
        return (self._num_outputs(), *self.hidden_sizes)[-1]

    def init(self, key: Any) -> Nested:
        """Random parameters; the key is one of JAX's."""
        import jax

        keys = jax.random.split(key)
        *_, height, width, _ = self.observation_shape
        num_inputs = math.prod(self.observation_shape) // (height * width)
        shape = (self.kernel, self.kernel, num_inputs, self.num_channels)
        return {
            "kernel": jax.nn.initializers.lecun_normal()(keys[0], shape),
            "biases": jax.numpy.zeros(self.num_channels),
            "dense": init_mlp(keys[1], self._num_outputs(), self.hidden_sizes),
        }

    def apply(self, parameters: Nested, observation: Any) -> Any:
        """Features, in NumPy or JAX."""
        # A product with the windows: of small images on a CPU its gradient takes about
        # three quarters of the time of XLA's convolution, and NumPy has it too.
        windows, kernel = self._windows(observation), parameters["kernel"]
        x = windows @ kernel.reshape(-1, self.num_channels) + parameters["biases"]
        features = flat(namespace(x).maximum(x, 0.0))
        return mlp(parameters["dense"], features, self.activation)

    def _windows(self, image: Any) -> Any:
        """Images to float32 `[B, H', W', kernel * kernel * C]`."""
        height, width = self._sides()
        if len(self.observation_shape) == 4:
            stack = namespace(image).moveaxis(image, 1, 3)
            image = stack.reshape(*stack.shape[:3], -1)
        shifts = [(i, j) for i in range(self.kernel) for j in range(self.kernel)]
        parts = [image[:, i : i + height, j : j + width] for i, j in shifts]
        return namespace(image).concatenate(parts, axis=-1).astype(np.float32)

    def _sides(self) -> tuple[int, int]:
        *_, height, width, _ = self.observation_shape
        return height - self.kernel + 1, width - self.kernel + 1

    def _num_outputs(self) -> int:
        return math.prod(self._sides()) * self.num_channels


Torso: TypeAlias = DenseTorso | ConvTorso


@cache
def make_torso(
    observation_shape: tuple[int, ...],
    hidden_sizes: tuple[int, ...],
    activation: Activation = "relu",
) -> Torso:
    """A convolution for images, if no smaller than its window, else dense layers."""
    shape = observation_shape
    are_images = len(shape) in (3, 4) and min(shape[-3:-1]) >= KERNEL
    kind = ConvTorso if are_images else DenseTorso
    return kind(
        observation_shape=shape, hidden_sizes=hidden_sizes, activation=activation
    )


def check_images(observation_shape: tuple[int, ...], *, agent: str) -> None:
    """Refuses images whose channels come first, which `make_torso` takes for rows.

    These are `[H, W, C]` with both W and C more than four times H, and than its window.

    Raises:
      ConfigError: the message names the agent.
    """
    shape = observation_shape
    if len(shape) not in (3, 4):
        return
    if min(shape[-2:]) > 4 * max(shape[-3], KERNEL):
        raise ConfigError(
            f"{agent} needs images as [height, width, channels]; the channels of this "
            f"environment's seem to come first: {shape}"
        )
