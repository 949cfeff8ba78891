"""A policy at work: parameters on the device, a key, and a state that moves on."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from acmelike.agent import JaxArray, Policy, PRNGKey
from acmelike.types import Array, EnvironmentSpec, Nested


class Inference:
    """Acts for K environments, one jitted call per time step.

    Args:
      policy: how to act.
      spec: of the environments, whose actions may be of another type than JAX's.
      num_envs: K.
      seed: of the stream of keys.
    """

    def __init__(
        self, policy: Policy, spec: EnvironmentSpec, *, num_envs: int, seed: int
    ):
        self._policy, self._dtype = policy, spec.actions.dtype
        self._key, init_key = _keys(np.uint32(seed))
        self._state = policy.init(init_key, num_envs)
        self._parameters: Nested = None

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on; moved to the device once, not at every step."""
        self._parameters = jax.device_put(parameters)

    def act(self, observation: Array) -> Array:
        """Actions `[K, ...]` for observations `[K, ...]`."""
        action, self._state, self._key = _act(
            self._policy, self._parameters, self._state, observation, self._key
        )
        return np.asarray(action).astype(self._dtype, copy=False)


@jax.jit
def _keys(seed: Array) -> JaxArray:
    return jax.random.split(jax.random.key(seed))


@partial(jax.jit, static_argnums=0)
def _act(
    policy: Policy, parameters: Nested, state: Nested, observation: Array, key: PRNGKey
) -> tuple[JaxArray, Nested, PRNGKey]:
    # The key is split in here because a dispatch of its own would cost as much again.
    key, act_key = jax.random.split(key)
    action, state = policy.act(parameters, state, observation, act_key)
    return action, state, key
