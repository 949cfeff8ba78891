"""Distributions over discrete actions, written once for NumPy and JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from acmelike.networks.dense import namespace
from acmelike.types import Array

# An array of NumPy or of JAX.
AnyArray = Any


def log_softmax(logits: AnyArray) -> AnyArray:
    """Log-probabilities `[..., A]` of logits `[..., A]`."""
    xp = namespace(logits)
    # Without the largest first, which would overflow.
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - xp.log(xp.exp(logits).sum(axis=-1, keepdims=True))


def take_action(log_probs: AnyArray, action: AnyArray) -> AnyArray:
    """Those of the actions: `[..., A]` and `[...]` to `[...]`."""
    # In NumPy a tenth of the time of take_along_axis, at every step of an actor.
    rows = log_probs.reshape(-1, log_probs.shape[-1])
    taken = rows[namespace(rows).arange(len(rows)), action.reshape(-1)]
    return taken.reshape(action.shape)


def log_prob_of(logits: AnyArray, action: AnyArray) -> AnyArray:
    """What `log_softmax` says of the actions only: `[K, A]` and `[K]` to `[K]`.

    In NumPy it takes half the time for a few environments with a few actions, at every
    step of an actor; with 32 and 18 it takes 26 us in the place of 17.
    """
    total = namespace(logits).logaddexp.reduce(logits, axis=-1)
    return take_action(logits, action) - total


def gumbel_noise(random: np.random.Generator, num_envs: int, num_actions: int) -> Array:
    """`[K, A]` float32 to add to logits: the largest sum is then a sample of them.

    Gumbel 1954; Maddison et al. 2014, "A* Sampling", section 2.
    """
    # Drawn in single precision, of which zero is the one number without a logarithm.
    exponential = random.standard_exponential((num_envs, num_actions), np.float32)
    return -np.log(np.maximum(exponential, np.float32(1e-30)))
