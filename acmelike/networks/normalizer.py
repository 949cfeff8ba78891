"""Running moments, which give observations mean zero and variance one.

They are part of an agent's parameters, so actors, evaluators and a saved policy
normalise as the learner does. Imports no JAX, as actors unpickle `Moments`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Moments(NamedTuple):
    """The moments of everything seen so far, element by element.

    Attributes:
      count: `[]` float32, the number of observations.
      mean: `[...]`.
      variance: `[...]`.
    """

    count: Any
    mean: Any
    variance: Any


def init_moments(shape: tuple[int, ...]) -> Moments:
    """The moments of nothing: mean zero and variance one, until the first update."""
    zeros = np.zeros(shape, np.float32)
    return Moments(np.float32(0), zeros, zeros + 1)


def update_moments(moments: Moments, x: Any, mask: Any) -> Moments:
    """Updates moments with those of `x` `[N, ...]` at which `mask` `[N]` is one.

    Chan et al. 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", equation 2.1.
    """
    weights = mask.reshape(-1, *[1] * (x.ndim - 1))
    added = mask.sum()
    divisor = added.clip(1.0)
    mean = (x * weights).sum(axis=0) / divisor
    variance = ((x - mean) ** 2 * weights).sum(axis=0) / divisor
    count = moments.count + added
    share = added / count.clip(1.0)
    apart = mean - moments.mean
    return Moments(
        count,
        moments.mean + apart * share,
        (1 - share) * (moments.variance + share * apart**2) + share * variance,
    )


def normalize(moments: Moments, x: Any) -> Any:
    """Scales `[B, ...]` to mean zero and variance one, and clips it to -10..10."""
    return ((x - moments.mean) / (moments.variance + 1e-6) ** 0.5).clip(-10.0, 10.0)
