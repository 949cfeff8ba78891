"""How observations become what networks take. Imports no JAX.

It is part of a policy, so actors, evaluators and a saved policy do it alike, and replay
keeps observations as the environment gives them.

- A category, which is one whole number between bounds as of gymnasium's `Discrete`,
  becomes one-hot.
- Bytes are scaled from their bounds to [0, 1].
- Images `[C, H, W]` become `[H, W, C]`, for the networks of this package.
- All else goes in as it is, as float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.networks.choice import (
    KERNEL,
    LARGE,
    NAMES,
    NetworkSource,
    are_images,
)
from acmelike.types import Array, EnvironmentSpec

# More categories than that are taken as a number.
MAX_CATEGORIES = 2**14
# Pixels of a side that networks for images need.
_LEAST = {"minatar": KERNEL, "nature": LARGE, "impala_resnet": 1}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to observations; a hashable value.

    Attributes:
      shape: of a prepared observation.
      low: what is subtracted: the lowest category, or the lowest value of a byte.
      num_categories: for one-hot; 0 for no categories.
      scale: what bytes are multiplied by; 1 for other observations.
      has_channels_first: whether images are `[C, H, W]`.
    """

    shape: tuple[int, ...]
    low: float = 0.0
    num_categories: int = 0
    scale: float = 1.0
    has_channels_first: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether numbers go in as they are."""
        return not self.num_categories and (self.low, self.scale) == (0.0, 1.0)

    def __call__(self, x: Any) -> Any:
        """Observations `[B, ...]`, of NumPy or of JAX, as float32 `[B, *shape]`."""
        if self.num_categories:
            categories = np.arange(self.num_categories, dtype=x.dtype) + int(self.low)
            return (x[..., None] == categories).astype(np.float32)
        if self.has_channels_first:
            first = tuple(range(x.ndim - 3))
            x = x.transpose((*first, x.ndim - 2, x.ndim - 1, x.ndim - 3))
        x = x.astype(np.float32)
        return x if self.is_plain else (x - self.low) * np.float32(self.scale)


def preparation_of(spec: EnvironmentSpec, network: NetworkSource) -> Preparation:
    """What is done to the observations of an environment, before a network."""
    observations, shape = spec.observations, spec.observations.shape
    categories = _categories(observations, spec.num_frames)
    if categories is not None:
        first, number = categories
        return Preparation(shape=(*shape, number), low=first, num_categories=number)
    has_channels_first = _has_channels_first(shape, network)
    if has_channels_first:
        shape = (*shape[:-3], *shape[-2:], shape[-3])
    low, scale = 0.0, 1.0
    if observations.dtype == np.uint8:
        low, high = 0.0, 255.0
        if isinstance(observations, specs.BoundedArray):
            low = float(np.min(observations.minimum))
            high = float(np.max(observations.maximum))
        scale = 1.0 / max(high - low, 1.0)
    return Preparation(
        shape=shape, low=low, scale=scale, has_channels_first=has_channels_first
    )


def check_observations(
    spec: EnvironmentSpec, network: NetworkSource, *, agent: str
) -> None:
    """Refuses observations that a network of this package cannot take.

    Raises:
      ConfigError: the message names the agent.
    """
    least = _LEAST.get(network) if isinstance(network, str) else None
    shape = preparation_of(spec, network).shape
    if least is not None and not are_images(shape, least):
        raise ConfigError(
            f"{agent}: the network '{network}' needs images [H, W, C] of {least} pixels"
            f" a side or more; this environment's observations are {shape}"
        )


def example_observation(spec: EnvironmentSpec) -> Array:
    """One observation `[1, ...]` of zeros, to make the parameters of networks with."""
    return np.zeros((1, *spec.observations.shape), spec.observations.dtype)


def _categories(spec: specs.Array, num_frames: int) -> tuple[int, int] | None:
    """The lowest category and how many there are; None if it is no category."""
    is_one = spec.shape == () or (num_frames > 1 and len(spec.shape) == 1)
    if not is_one or spec.dtype.kind not in "iu":
        return None
    if not isinstance(spec, specs.BoundedArray):
        return None
    low = int(np.min(spec.minimum))
    number = int(np.max(spec.maximum)) - low + 1
    return (low, number) if 0 < number <= MAX_CATEGORIES else None


def _has_channels_first(shape: tuple[int, ...], network: NetworkSource) -> bool:
    """Whether images, or stacks of them, are `[C, H, W]`.

    They are if both H and W are more than four times C and a window's side. A network
    of the user's own gets images as they are.
    """
    if network not in NAMES or len(shape) not in (3, 4):
        return False
    return min(shape[-2:]) > 4 * max(shape[-3], KERNEL)
