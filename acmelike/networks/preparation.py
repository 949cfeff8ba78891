"""How observations become what networks take. Imports no JAX.

The preparation is part of a policy, so actors, evaluators and saved policies do the
same. Replay keeps observations as the environment returns them.

- A category, which is one whole number between bounds, such as gymnasium's `Discrete`,
  becomes one-hot; so does each of several, such as those of `MultiDiscrete`. An
  embedding (`torso.py`) makes learned vectors of categories instead.
- Bytes, signed or not, are scaled from their bounds to [0, 1].
- Images `[C, H, W]` become `[H, W, C]`, for the networks of this package.
- Everything else is only cast to float32.
- If there are several arrays, each is prepared, and they stay nested as they are. But
  an action mask is left out, as agents apply it to the outputs of networks (`mask_of`).
  If only one array is left, it comes without its nest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.networks.choice import (
    KERNEL,
    LARGE,
    NAMES,
    NetworkSource,
    are_images,
)
from acmelike.types import (
    ACTION_MASK,
    EnvironmentSpec,
    MultiDiscreteArray,
    Nested,
    is_category,
    is_stacked,
)

logger = logging.getLogger("acmelike")

# Pixels of a side that networks for images need.
LEAST = {"minatar": KERNEL, "nature": LARGE, "impala_resnet": 1}
# Channels of usual images: grey, colours, and colours with transparency.
_USUAL_CHANNELS = (1, 3, 4)

# Maps indices `[B, ...]` of categories, and the number of categories, to vectors
# `[B, ..., D]`. A padded step may have no category: its index is then out of range.
Embed: TypeAlias = Callable[[Any, int], Any]


@dataclass(frozen=True, kw_only=True)
class ArrayPreparation:
    """Prepares one array of observations; a hashable value.

    Attributes:
      shape: of the prepared array.
      low: what is subtracted: the lowest category, or the lowest value of a byte.
      num_categories: for one-hot; 0 for no categories.
      scale: what bytes are multiplied by; 1 for others.
      has_channels_first: whether images are `[C, H, W]`.
    """

    shape: tuple[int, ...]
    low: float = 0.0
    num_categories: int = 0
    scale: float = 1.0
    has_channels_first: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether numbers keep their values."""
        return not self.num_categories and (self.low, self.scale) == (0.0, 1.0)

    def __call__(self, x: Any, embed: Embed | None = None) -> Any:
        """Arrays `[B, ...]`, of NumPy or of JAX, as float32 `[B, *shape]`.

        With `embed`, its vectors are in the place of one-hot categories.
        """
        if self.num_categories and embed is not None:
            # In the 32 bits of JAX; larger numbers wrap around in the same way.
            low = np.int64(self.low).astype(np.int32)
            return embed(x.astype(np.int32) - low, self.num_categories)
        if self.num_categories:
            categories = np.arange(self.num_categories, dtype=x.dtype) + int(self.low)
            return (x[..., None] == categories).astype(np.float32)
        if self.has_channels_first:
            first = tuple(range(x.ndim - 3))
            x = x.transpose((*first, x.ndim - 2, x.ndim - 1, x.ndim - 3))
        x = x.astype(np.float32)
        return x if self.is_plain else (x - self.low) * np.float32(self.scale)


@dataclass(frozen=True, kw_only=True)
class MultiDiscretePreparation:
    """Makes several categories one-hot, one after the other; a hashable value.

    Attributes:
      lows: the lowest value of each category.
      numbers: how many values each has.
    """

    lows: tuple[int, ...]
    numbers: tuple[int, ...]
    is_plain = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the prepared array."""
        return (sum(self.numbers),)

    def __call__(self, x: Any, embed: Embed | None = None) -> Any:
        """Arrays `[B, ...]`, of NumPy or of JAX, as float32 `[B, sum of numbers]`.

        With `embed`, its vectors are in the place of one-hot categories, one after the
        other. Each category has its own indices, and so its own vectors.
        """
        x = x.reshape(x.shape[0], -1)
        if embed is not None:
            first = np.subtract(np.cumsum((0, *self.numbers[:-1])), self.lows)
            indices = x.astype(np.int32) + first.astype(np.int32)
            return embed(indices, sum(self.numbers)).reshape(x.shape[0], -1)
        # The place of each category's array, and the category.
        places = np.repeat(np.arange(len(self.numbers)), self.numbers)
        ranges = map(np.arange, self.lows, np.add(self.lows, self.numbers))
        return (x[:, places] == np.concatenate([*ranges])).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Prepares observations for a network; a hashable value.

    Attributes:
      parts: what is done to each array; None for an action mask, which is left out.
      nest: the structure of the arrays; a leaf if there is only one array.
    """

    parts: tuple[ArrayPreparation | MultiDiscretePreparation | None, ...]
    nest: optree.PyTreeSpec

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the prepared arrays."""
        return tuple(part.shape for part in self.parts if part is not None)

    @property
    def has_categories(self) -> bool:
        """Whether any of the arrays becomes one-hot, or vectors."""
        return any(
            isinstance(part, MultiDiscretePreparation)
            or (part is not None and part.num_categories > 0)
            for part in self.parts
        )

    def __call__(self, observations: Nested, embed: Embed | None = None) -> Nested:
        """Observations `[B, ...]`, of NumPy or of JAX, each array as float32.

        With `embed`, its vectors are in the place of one-hot categories.
        """
        arrays = self.nest.flatten_up_to(observations)
        pairs = zip(self.parts, arrays, strict=True)
        prepared = [None if part is None else part(x, embed) for part, x in pairs]
        left = [x for x in prepared if x is not None]
        return left[0] if len(left) == 1 else self.nest.unflatten(prepared)


def mask_of(observation: Nested) -> Any:
    """The action mask of an observation, `[..., M]`; None if it has none."""
    return observation.get(ACTION_MASK) if isinstance(observation, dict) else None


def preparation_of(spec: EnvironmentSpec, network: NetworkSource) -> Preparation:
    """The preparation of an environment's observations for a network."""
    paths, arrays, nest = optree.tree_flatten_with_path(spec.observations)
    parts = [
        None
        if spec.has_action_mask and path == (ACTION_MASK,)
        else _preparation_of(array, spec.num_frames if is_stacked(path) else 1, network)
        for path, array in zip(paths, arrays, strict=True)
    ]
    return Preparation(parts=tuple(parts), nest=nest)


def check_observations(
    spec: EnvironmentSpec, network: NetworkSource, *, agent: str
) -> None:
    """Refuses observations that a network of this package cannot take.

    It logs a warning of images that look as if their channels came first, but are too
    small to be taken for such images.

    Raises:
      ConfigError: the network cannot take them, or an action mask has the wrong shape;
        the message names the agent.
    """
    if spec.has_action_mask:
        shape, size = spec.observations[ACTION_MASK].shape, spec.mask_size
        if shape != (size,):
            is_multi = isinstance(spec.actions, MultiDiscreteArray)
            what = "values of all categories" if is_multi else "actions"
            raise ConfigError(
                f"{agent}: '{ACTION_MASK}' of an observation must have the shape "
                f"{(size,)}, as there are {size} {what}: {shape}"
            )
    least = LEAST.get(network) if isinstance(network, str) else None
    shapes = preparation_of(spec, network).shapes
    if not any(map(math.prod, shapes)):
        raise ConfigError(
            f"{agent}: observations have nothing but '{ACTION_MASK}', which no network "
            f"sees"
        )
    if least is not None and not any(are_images(shape, least) for shape in shapes):
        raise ConfigError(
            f"{agent}: the network '{network}' needs images [H, W, C] of {least} pixels"
            f" a side or more; this environment's observations are "
            f"{', '.join(map(str, shapes))}"
        )
    _warn_of_channels(shapes, network, agent)


def _warn_of_channels(
    shapes: tuple[tuple[int, ...], ...], network: NetworkSource, agent: str
) -> None:
    """Warns of images that are taken for `[H, W, C]` and look like `[C, H, W]`."""
    # Dense layers take any order, and a network of the user's own gets images as they
    # are.
    if network == "mlp" or network not in NAMES:
        return
    unsure = [
        str(shape)
        for shape in shapes
        if are_images(shape)
        and shape[-3] in _USUAL_CHANNELS
        and shape[-1] not in _USUAL_CHANNELS
    ]
    if unsure:
        logger.warning(
            "%s: observations %s are taken for images [..., H, W, C]; if their "
            "channels come first, transpose them, such as with "
            "gymnasium.wrappers.TransformObservation",
            agent,
            ", ".join(unsure),
        )


def _preparation_of(
    spec: specs.Array, num_frames: int, network: NetworkSource
) -> ArrayPreparation | MultiDiscretePreparation:
    shape: tuple[int, ...] = spec.shape
    if is_category(spec, num_frames):
        if isinstance(spec, MultiDiscreteArray):
            lows, numbers = spec.categories()
            return MultiDiscretePreparation(lows=lows, numbers=numbers)
        first = int(np.min(spec.minimum))
        number = int(np.max(spec.maximum)) - first + 1
        return ArrayPreparation(
            shape=(*shape, number), low=first, num_categories=number
        )
    has_channels_first = _has_channels_first(shape, network)
    if has_channels_first:
        shape = (*shape[:-3], *shape[-2:], shape[-3])
    low, scale = 0.0, 1.0
    if spec.dtype in (np.uint8, np.int8):
        limits = np.iinfo(spec.dtype)
        low, high = float(limits.min), float(limits.max)
        if isinstance(spec, specs.BoundedArray):
            low = float(np.min(spec.minimum))
            high = float(np.max(spec.maximum))
        scale = 1.0 / max(high - low, 1.0)
    return ArrayPreparation(
        shape=shape, low=low, scale=scale, has_channels_first=has_channels_first
    )


def _has_channels_first(shape: tuple[int, ...], network: NetworkSource) -> bool:
    """Whether images, or stacks of them, are `[C, H, W]`.

    They are if H and W are both more than four times the larger of C and a window's
    side. A network of the user's own gets images as they are.
    """
    if network not in NAMES or len(shape) not in (3, 4):
        return False
    return min(shape[-2:]) > 4 * max(shape[-3], KERNEL)
