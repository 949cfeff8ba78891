"""Continuous actions between bounds, scaled from and to -1..1. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dm_env import specs

from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The box that actions are in; a hashable value.

    Attributes:
      shape: of one action, of A numbers in all.
      low: A numbers.
      high: A numbers, each above its `low`.
    """

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def size(self) -> int:
        """A, the number of dimensions of an action."""
        return len(self.low)

    def scale(self, x: Any, *, clip: bool = True) -> Any:
        """Actions `[B, ...]` float32 for `x` `[B, A]`; -1 and 1 become the bounds.

        With `clip` no action is outside of the bounds, not even by a rounding error.
        Without it, `x` beyond -1 and 1 gives actions outside of the bounds.
        """
        low, high = self._arrays()
        action = low + (x + 1) * ((high - low) / 2)
        if clip:
            action = action.clip(low, high)
        return action.reshape(x.shape[0], *self.shape)

    def unscale(self, action: Any) -> Any:
        """`[B, A]` float32 from -1 to 1 for actions `[B, ...]`."""
        low, high = self._arrays()
        flat = action.reshape(action.shape[0], -1).astype(np.float32)
        return (flat - low) * (2 / (high - low)) - 1

    def _arrays(self) -> Any:
        return np.asarray((self.low, self.high), np.float32)


def bounds_of(spec: specs.Array, agent: str) -> Bounds:
    """The bounds of an environment's actions.

    Raises:
      ConfigError: they are not continuous, or not between finite bounds; in one line.
    """
    if not isinstance(spec, specs.BoundedArray):
        raise ConfigError(
            f"{agent} needs actions with bounds; {_words(spec)} have none"
        )
    if spec.dtype.kind != "f":
        raise ConfigError(f"{agent} needs continuous actions; {_words(spec)} are not")
    # In single precision, in which a finite bound may become infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = (
            np.broadcast_to(x, spec.shape).astype(np.float32).ravel()
            for x in (spec.minimum, spec.maximum)
        )
        is_good = np.isfinite(high - low) & (low < high)
    if not is_good.all():
        raise ConfigError(
            f"{agent} needs actions between finite bounds, the lower below the upper; "
            f"{_words(spec)} are from {low.tolist()} to {high.tolist()}"
        )
    return Bounds(shape=spec.shape, low=tuple(low.tolist()), high=tuple(high.tolist()))


def _words(spec: specs.Array) -> str:
    kind = "discrete" if isinstance(spec, specs.DiscreteArray) else str(spec.dtype)
    return f"this environment's, {kind} of shape {spec.shape},"
