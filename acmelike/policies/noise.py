"""The random numbers of policies, drawn by NumPy at actors.

`functools.partial` sets the keyword arguments of these functions, such as `size`. The
result is a function that `PolicyInputs.noise` takes.
"""

from __future__ import annotations

import numpy as np

from acmelike.types import Array


def uniform_noise(
    random: np.random.Generator, num_envs: int, *, num_rows: int
) -> Array:
    """`[N, K]` float32, from 0 to 1."""
    return random.random((num_rows, num_envs), np.float32)


def normal_noise(
    random: np.random.Generator, num_envs: int, *, size: int, scale: float = 1.0
) -> Array:
    """`[K, A]` float32, normal with the standard deviation `scale`."""
    return scale * random.standard_normal((num_envs, size), np.float32)


def gumbel_noise(
    random: np.random.Generator, num_envs: int, *, num_actions: int
) -> Array:
    """`[K, A]` float32 to add to logits: the largest sum is then a sample of them.

    Gumbel 1954; Maddison et al. 2014, "A* Sampling", section 2.
    """
    # Drawn in single precision, where zero is the only number without a logarithm.
    exponential = random.standard_exponential((num_envs, num_actions), np.float32)
    return -np.log(np.maximum(exponential, np.float32(1e-30)))


def zero_noise(random: np.random.Generator, num_envs: int, *, size: int) -> Array:
    """`[K, A]` float32 zeros, for a policy that explores by its noise only."""
    return np.zeros((num_envs, size), np.float32)
