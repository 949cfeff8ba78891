"""Networks from observations to features."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from acmelike.errors import ConfigError
from acmelike.networks.choice import (
    KERNEL,
    LARGE,
    NAMES,
    NetworkSource,
    are_images,
)
from acmelike.networks.convolution import Conv
from acmelike.networks.preparation import LEAST, Preparation, preparation_of
from acmelike.types import EnvironmentSpec, Nested

Activation: TypeAlias = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "tanh": jnp.tanh,
}


class MLP(nn.Module):
    """Dense layers: observations `[B, ...]` to features `[B, F]`.

    Attributes:
      hidden_sizes: units of each layer; the last is F.
      activation: after each layer.
    """

    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for size in self.hidden_sizes:
            x = ACTIVATIONS[self.activation](nn.Dense(size)(x))
        return x


class MinAtarConv(nn.Module):
    """A convolution with a relu, and dense layers: images to features `[B, F]`.

    It has no padding and a step of one, which suits small images: the network of Young
    and Tian 2019, "MinAtar", arXiv 1903.03176. Images are `[B, H, W, C]`, or stacks
    `[B, N, H, W, C]`, whose channels are concatenated.

    Attributes:
      hidden_sizes: units of each dense layer; the last is F.
      activation: after each dense layer.
      num_channels: of the convolution.
    """

    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"
    num_channels: int = 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _merge_stack(x)
        _, height, width, channels = x.shape
        initializers = nn.initializers.lecun_normal(), nn.initializers.zeros
        shape = KERNEL, KERNEL, channels, self.num_channels
        kernel = self.param("kernel", initializers[0], shape)
        bias = self.param("bias", initializers[1], (self.num_channels,))
        # A product with the windows: for small images on a CPU its gradient takes
        # about three quarters of the time of XLA's convolution.
        windows = [
            x[:, i : i + height - KERNEL + 1, j : j + width - KERNEL + 1]
            for i in range(KERNEL)
            for j in range(KERNEL)
        ]
        product = jnp.concatenate(windows, axis=-1) @ kernel.reshape(
            -1, self.num_channels
        )
        return MLP(self.hidden_sizes, self.activation)(nn.relu(product + bias))


class NatureConv(nn.Module):
    """Three convolutions with relus, and dense layers: images to features `[B, F]`.

    The network of Mnih et al. 2015, "Human-level control through deep reinforcement
    learning", Nature 518, whose dense layer has 512 units. Images are those of
    `MinAtarConv`, of 36 pixels a side or more.

    Attributes:
      hidden_sizes: units of each dense layer; the last is F.
      activation: after each dense layer.
    """

    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _merge_stack(x)
        for channels, side, step in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            window, strides = (side, side), (step, step)
            x = nn.relu(Conv(channels, window, strides, padding="VALID")(x))
        return MLP(self.hidden_sizes, self.activation)(x)


class ImpalaResNet(nn.Module):
    """IMPALA's deep residual network: images to features `[B, 256]`.

    Figure 3, right, of Espeholt et al. 2018, "IMPALA", arXiv 1802.01561, without its
    LSTM. Images are those of `MinAtarConv`.

    Attributes:
      num_channels: of each section; each halves the sides of the image.
      num_features: F.
    """

    num_channels: Sequence[int] = (16, 32, 32)
    num_features: int = 256

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _merge_stack(x)
        for channels in self.num_channels:
            x = Conv(channels, (3, 3))(x)
            pool: Any = nn.max_pool
            x = pool(x, (3, 3), strides=(2, 2), padding="SAME")
            for _ in range(2):
                y = Conv(channels, (3, 3))(nn.relu(x))
                x = x + Conv(channels, (3, 3))(nn.relu(y))
        x = nn.relu(x)
        return nn.relu(nn.Dense(self.num_features)(x.reshape(x.shape[0], -1)))


class Joined(nn.Module):
    """Dense layers on several arrays: observations, nested, to features `[B, F]`.

    Attributes:
      networks: for each array, the network for images that takes it first, or None.
      hidden_sizes: units of each dense layer; the last is F.
      activation: after each dense layer.
    """

    networks: tuple[nn.Module | None, ...]
    hidden_sizes: tuple[int, ...]
    activation: Activation = "relu"

    @nn.compact
    def __call__(self, x: Nested) -> jax.Array:
        features = [
            array.reshape(array.shape[0], -1) if network is None else network(array)
            for network, array in zip(self.networks, jax.tree.leaves(x), strict=True)
        ]
        joined = jnp.concatenate(features, axis=-1)
        return MLP(self.hidden_sizes, self.activation)(joined)


class Embedding(nn.Module):
    """Prepares observations, with a vector in the place of each category.

    The vectors are learned. A category `[B]` becomes `[B, D]`, and M of them, as of
    `MultiDiscrete`, become `[B, M * D]`: each has vectors of its own.

    Attributes:
      preparation: of observations; alone, it makes categories one-hot.
      size: D.
    """

    preparation: Preparation
    size: int

    @nn.compact
    def __call__(self, observation: Nested) -> Nested:
        def embed(indices: Any, number: int) -> Any:
            # Padded steps need not have a category. For these, `Embed` would return a
            # NaN, which stays a NaN when it is multiplied by their mask.
            return nn.Embed(number, self.size)(indices.clip(0, number - 1))

        return self.preparation(observation, embed)


class Torso(nn.Module):
    """A network whose input is prepared and whose features are checked.

    Attributes:
      network: the network.
      preparation: of observations.
    """

    network: nn.Module
    preparation: Preparation | Embedding

    def __call__(self, observation: Nested) -> jax.Array:
        """Observations `[B, ...]` to features `[B, F]`."""
        features: jax.Array = self.network(self.preparation(observation))
        if features.ndim != 2:
            raise ConfigError(
                f"the network {type(self.network).__name__} must return features "
                f"[B, F]: it returned the shape {features.shape}"
            )
        return features


def make_network(
    source: NetworkSource,
    spec: EnvironmentSpec,
    hidden_sizes: tuple[int, ...],
    activation: Activation = "relu",
    embedding_size: int = 0,
) -> Torso:
    """Makes the network that an agent's setting selects; see `choice.py`.

    Args:
      source: the setting.
      spec: of the environments.
      hidden_sizes: units of each dense layer of "mlp", "minatar" and "nature".
      activation: after each of these.
      embedding_size: numbers in the vector of each category; 0 for one-hot.

    Raises:
      ConfigError: the setting gives something other than a flax module.
    """
    preparation = preparation_of(spec, source)
    inputs: Preparation | Embedding = preparation
    if embedding_size:
        inputs = Embedding(preparation, embedding_size)
    if source in NAMES:
        make = partial(
            _network_for, source, hidden_sizes=hidden_sizes, activation=activation
        )
        networks = [make(shape) for shape in preparation.shapes]
        if len(networks) == 1:
            network = networks[0] or MLP(hidden_sizes, activation)
        else:
            network = Joined(tuple(networks), hidden_sizes, activation)
        return Torso(network, inputs)
    if isinstance(source, str):
        module, _, name = source.partition(":")
        source = getattr(importlib.import_module(module), name)
    own: Any = source if isinstance(source, nn.Module) else source()
    if not isinstance(own, nn.Module):
        raise ConfigError(f"network must be a flax module: {own!r}")
    return Torso(own, inputs)


def _network_for(
    name: str,
    shape: tuple[int, ...],
    hidden_sizes: tuple[int, ...],
    activation: Activation,
) -> nn.Module | None:
    """The network for one array; None if dense layers take it as it is."""
    if name == "auto":
        name = "nature" if are_images(shape, least=LARGE) else "minatar"
    if name == "mlp" or not are_images(shape, LEAST[name]):
        return None
    if name == "minatar":
        return MinAtarConv(hidden_sizes, activation)
    if name == "nature":
        return NatureConv(hidden_sizes, activation)
    return ImpalaResNet()


def _merge_stack(x: jax.Array) -> jax.Array:
    """Stacks of images `[B, N, H, W, C]` as images `[B, H, W, N * C]`."""
    if x.ndim != 5:
        return x
    x = jnp.moveaxis(x, 1, 3)
    return x.reshape(*x.shape[:3], -1)
