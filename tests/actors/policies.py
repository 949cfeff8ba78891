"""Policies of tests as they travel to actors."""

import cloudpickle
import numpy as np

from acmelike.agent import PolicyInputs
from acmelike.policies import PortablePolicy
from acmelike.policies.numpy_text import numpy_text


def as_it_is(policy, *, needs_jax):
    """A policy whose `act` is called in NumPy, or compiled."""
    pickled = cloudpickle.dumps(policy.act)
    return PortablePolicy(text=None, pickled=pickled, needs_jax=needs_jax)


def with_text(policy, parameters, observation_shape):
    """One that is text where that is faster."""
    text = numpy_text(
        policy.act,
        parameters,
        policy.init,
        lambda num_envs: np.zeros((num_envs, *observation_shape), np.float32),
        lambda num_envs: policy.noise(np.random.default_rng(0), num_envs),
    )
    pickled = cloudpickle.dumps(policy.act)
    return PortablePolicy(text=text, pickled=pickled, needs_jax=True)


def inputs_of(policy):
    return PolicyInputs(init=policy.init, noise=policy.noise)
