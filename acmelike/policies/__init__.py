"""Policies as data: what the learner sends to those who act. Imports no JAX."""

from acmelike.policies.noise import (
    gumbel_noise,
    normal_noise,
    uniform_noise,
    zero_noise,
)
from acmelike.policies.portable import PortablePolicy, make_portable

__all__ = [
    "PortablePolicy",
    "gumbel_noise",
    "make_portable",
    "normal_noise",
    "uniform_noise",
    "zero_noise",
]
