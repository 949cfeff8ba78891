"""Distributions of actions, made from the outputs of a policy's last layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from acmelike.agents.parts.bounds import Bounds, bounds_of
from acmelike.agents.parts.heads import FORBIDDEN, SMALL, are_allowed, only_allowed
from acmelike.networks import entropy_of, log_prob_of, log_softmax, take_action
from acmelike.types import MultiDiscreteArray

INITIAL_LOG_STD = -0.5
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class Distribution(Protocol):
    """A distribution of actions, for learners and policies; a hashable value."""

    def make_head(self, name: str | None = None) -> nn.Module:
        """The layer from features `[..., F]` to outputs `[..., O]`."""

    def allowed(self, outputs: Any, mask: Any) -> Any:
        """Outputs `[..., O]`, changed so that only allowed actions are drawn.

        Args:
          outputs: of the last layer.
          mask: `[..., M]`, from `mask_of` an observation; None if all are allowed.
        """

    def sample(self, outputs: Any, noise: Any) -> tuple[Any, dict[str, Any]]:
        """Actions `[K, ...]` by outputs `[K, O]` and noise, and a policy's extras.

        The extras are `log_prob` `[K]`, and what `chosen` needs. If the noise is zeros,
        the actions are the most likely ones.
        """

    def chosen(self, actions: Any, extras: Mapping[str, Any]) -> Any:
        """What `sample` drew, by the actions `[..., *shape]` and extras it returned."""

    def log_prob(self, outputs: jax.Array, chosen: jax.Array) -> jax.Array:
        """Log-probabilities or log-densities `[...]` of what was sampled."""

    def entropy(self, outputs: jax.Array) -> jax.Array:
        """The entropies `[...]`."""


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """One of A actions; the outputs are their logits `[..., A]`.

    Attributes:
      num_actions: A.
    """

    num_actions: int

    def make_head(self, name: str | None = None) -> nn.Module:
        return nn.Dense(self.num_actions, kernel_init=SMALL, name=name)

    def allowed(self, outputs: Any, mask: Any) -> Any:
        return only_allowed(outputs, mask)

    def sample(self, outputs: Any, noise: Any) -> tuple[Any, dict[str, Any]]:
        """By Gumbel's noise `[K, A]`."""
        action = (outputs + noise).argmax(axis=-1).astype(jnp.int32)
        return action, {"log_prob": log_prob_of(outputs, action)}

    def chosen(self, actions: Any, extras: Mapping[str, Any]) -> Any:
        return actions

    def log_prob(self, outputs: jax.Array, chosen: jax.Array) -> jax.Array:
        return take_action(log_softmax(outputs), chosen)

    def entropy(self, outputs: jax.Array) -> jax.Array:
        return entropy_of(log_softmax(outputs))


@dataclass(frozen=True, kw_only=True)
class MultiCategorical:
    """Actions of several categories, each independent of the others.

    The outputs are the logits of all categories, one after the other.

    Attributes:
      shape: of an action.
      lows: the lowest value of each category.
      numbers: how many values each has.
    """

    shape: tuple[int, ...]
    lows: tuple[int, ...]
    numbers: tuple[int, ...]

    def make_head(self, name: str | None = None) -> nn.Module:
        return nn.Dense(sum(self.numbers), kernel_init=SMALL, name=name)

    def allowed(self, outputs: Any, mask: Any) -> Any:
        """By a mask `[..., O]`; if it allows nothing of a category, all are allowed."""
        if mask is None:
            return outputs
        parts = [are_allowed(part) for part in self._split(mask)]
        return jnp.where(jnp.concatenate(parts, axis=-1), outputs, FORBIDDEN)

    def sample(self, outputs: Any, noise: Any) -> tuple[Any, dict[str, Any]]:
        """By Gumbel's noise `[K, O]`."""
        parts = list(zip(self._split(outputs), self._split(noise), strict=True))
        found = [(logits + of_it).argmax(axis=-1) for logits, of_it in parts]
        log_probs = [
            log_prob_of(logits, chosen.astype(jnp.int32))
            for (logits, _), chosen in zip(parts, found, strict=True)
        ]
        action = jnp.concatenate([x[:, None] for x in found], axis=-1)
        action = action.astype(jnp.int32) + np.asarray(self.lows, np.int32)
        action = action.reshape(action.shape[0], *self.shape)
        return action, {"log_prob": sum(log_probs[1:], log_probs[0])}

    def chosen(self, actions: Any, extras: Mapping[str, Any]) -> Any:
        """The categories `[..., N]`, each from 0 on."""
        axes = actions.shape[: actions.ndim - len(self.shape)]
        flat = actions.reshape(*axes, -1)
        return flat.astype(jnp.int32) - np.asarray(self.lows, np.int32)

    def log_prob(self, outputs: jax.Array, chosen: jax.Array) -> jax.Array:
        parts = [
            take_action(log_softmax(logits), chosen[..., place])
            for place, logits in enumerate(self._split(outputs))
        ]
        return sum(parts[1:], parts[0])

    def entropy(self, outputs: jax.Array) -> jax.Array:
        parts = [entropy_of(log_softmax(logits)) for logits in self._split(outputs)]
        return sum(parts[1:], parts[0])

    def _split(self, outputs: Any) -> list[Any]:
        """The part of each category, `[..., A]`, of outputs, noise or a mask."""
        ends = np.cumsum(self.numbers).tolist()
        begins = [0, *ends[:-1]]
        return [outputs[..., i:j] for i, j in zip(begins, ends, strict=True)]


class GaussianHead(nn.Module):
    """Features `[..., F]` to means and logarithms of deviations, `[..., 2 A]`.

    The deviations are parameters, the same for all observations, as in Schulman et al.
    2015, "Trust Region Policy Optimization", arXiv 1502.05477, appendix D.

    Attributes:
      size: A.
    """

    size: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        mean = nn.Dense(self.size, kernel_init=SMALL, name="mean")(features)
        start = nn.initializers.constant(INITIAL_LOG_STD)
        log_std = self.param("log_std", start, (self.size,))
        return jnp.concatenate([mean, jnp.broadcast_to(log_std, mean.shape)], axis=-1)


@dataclass(frozen=True, kw_only=True)
class ClippedGaussian:
    """A normal distribution of each number; outputs are those of `GaussianHead`.

    An action is a sample, scaled so that -1 and 1 become the bounds. An action may be
    outside of them: environments get it clipped. Its density is that of the sample.

    Attributes:
      bounds: of the actions.
    """

    bounds: Bounds

    def make_head(self, name: str | None = None) -> nn.Module:
        return GaussianHead(self.bounds.size, name=name)

    def allowed(self, outputs: Any, mask: Any) -> Any:
        return outputs

    def sample(self, outputs: Any, noise: Any) -> tuple[Any, dict[str, Any]]:
        """By normal noise `[K, A]`; the extra `sample` `[K, A]` is not scaled."""
        mean, log_std = self._split(outputs)
        sample = mean + jnp.exp(log_std) * noise
        extras = {"log_prob": _log_density(noise, log_std), "sample": sample}
        return self.bounds.scale(sample, clip=False), extras

    def chosen(self, actions: Any, extras: Mapping[str, Any]) -> Any:
        return extras["sample"]

    def log_prob(self, outputs: jax.Array, chosen: jax.Array) -> jax.Array:
        mean, log_std = self._split(outputs)
        return _log_density((chosen - mean) * jnp.exp(-log_std), log_std)

    def entropy(self, outputs: jax.Array) -> jax.Array:
        _, log_std = self._split(outputs)
        entropy: jax.Array = (log_std + 0.5 + _HALF_LOG_2_PI).sum(axis=-1)
        return entropy

    def _split(self, outputs: Any) -> tuple[Any, Any]:
        size = self.bounds.size
        return outputs[..., :size], outputs[..., size:]


def distribution_of(spec: specs.Array, agent: str) -> Distribution:
    """The distribution for the actions of an environment.

    Raises:
      ConfigError: they are neither discrete nor bounded; the message names the agent.
    """
    if isinstance(spec, specs.DiscreteArray):
        return Categorical(num_actions=int(spec.num_values))
    if isinstance(spec, MultiDiscreteArray):
        lows, numbers = spec.categories()
        return MultiCategorical(shape=spec.shape, lows=lows, numbers=numbers)
    return ClippedGaussian(bounds=bounds_of(spec, agent))


def _log_density(noise: Any, log_std: Any) -> jax.Array:
    """The log-density `[...]` of normal noise `[..., A]` times the deviations."""
    density: jax.Array = (-0.5 * noise**2 - log_std - _HALF_LOG_2_PI).sum(axis=-1)
    return density
