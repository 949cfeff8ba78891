"""The squashed Gaussian: a normal distribution through a hyperbolic tangent."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Gaussian(NamedTuple):
    """Independent normal distributions, before they are squashed.

    Attributes:
      mean: `[B, A]`.
      log_std: `[B, A]`.
    """

    mean: jax.Array
    log_std: jax.Array


def sample(gaussian: Gaussian, noise: jax.Array) -> jax.Array:
    """Actions `[B, A]` from -1 to 1 by standard normal `noise` `[B, A]`.

    `tanh(mean + std * noise)`: the reparameterization of "Soft Actor-Critic Algorithms
    and Applications", arXiv 1812.05905, section 4.2, with the bounds of its appendix C.
    """
    return jnp.tanh(_unsquashed(gaussian, noise))


def log_prob(gaussian: Gaussian, noise: jax.Array) -> jax.Array:
    """Log-densities `[B]` of the actions that `sample` makes of the same noise.

    `log N(u) - sum_i log(1 - tanh(u_i) ** 2)`, from appendix C of arXiv 1812.05905. The
    second term is computed as `2 (log 2 - u - log(1 + exp(-2 u)))`, the same number,
    which stays finite where `tanh` rounds to 1.
    """
    u = _unsquashed(gaussian, noise)
    normal = -0.5 * noise**2 - gaussian.log_std - 0.5 * math.log(2 * math.pi)
    log_slope = 2 * (math.log(2) - u - jnp.logaddexp(-2 * u, 0.0))
    return (normal - log_slope).sum(axis=-1)


def _unsquashed(gaussian: Gaussian, noise: jax.Array) -> jax.Array:
    return gaussian.mean + jnp.exp(gaussian.log_std) * noise
