"""Policies as data, which the learner sends to nodes that act. Imports no JAX."""

from acmelike.policies.noise import (
    gumbel_noise,
    normal_noise,
    uniform_noise,
    zero_noise,
)
from acmelike.policies.portable import PortablePolicy, make_portable, pickled_act

__all__ = [
    "PortablePolicy",
    "gumbel_noise",
    "make_portable",
    "normal_noise",
    "pickled_act",
    "uniform_noise",
    "zero_noise",
]
