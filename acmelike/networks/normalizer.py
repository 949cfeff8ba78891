"""Running moments: observations with mean zero and variance one, on both sides.

They are part of an agent's parameters, so that actors, evaluators and a saved policy
see what the learner saw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from acmelike.networks.dense import namespace

# An array of NumPy or of JAX.
AnyArray = Any


class Moments(NamedTuple):
    """Of everything seen so far, by element.

    Attributes:
      count: `[]` float32, of observations.
      mean: `[...]`.
      variance: `[...]`.
    """

    count: AnyArray
    mean: AnyArray
    variance: AnyArray


def init_moments(shape: tuple[int, ...]) -> Moments:
    """Of nothing: mean zero and variance one, which the first update forgets."""
    import jax.numpy as jnp

    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))


def update_moments(moments: Moments, x: AnyArray, mask: AnyArray) -> Moments:
    """Takes in `[N, ...]` where `mask` `[N]` is one.

    Chan et al. 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", equation 2.1.
    """
    xp = namespace(x)
    weights = mask.reshape(-1, *[1] * (x.ndim - 1))
    added = mask.sum()
    mean = (x * weights).sum(axis=0) / xp.maximum(added, 1.0)
    variance = ((x - mean) ** 2 * weights).sum(axis=0) / xp.maximum(added, 1.0)
    count = moments.count + added
    share = added / xp.maximum(count, 1.0)
    apart = mean - moments.mean
    return Moments(
        count,
        moments.mean + apart * share,
        (1 - share) * (moments.variance + share * apart**2) + share * variance,
    )


def normalize(moments: Moments, x: AnyArray) -> AnyArray:
    """`[B, ...]` with mean zero and variance one, and nothing beyond ten."""
    xp = namespace(x)
    return xp.clip((x - moments.mean) / xp.sqrt(moments.variance + 1e-6), -10.0, 10.0)
