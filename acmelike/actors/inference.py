"""A policy at work: parameters, randomness, and a state that moves on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.agent import Policy
from acmelike.types import Array, EnvironmentSpec, Nested

# Parameters times environments up to which NumPy is the faster. Calling a compiled
# function costs about 60 us, in which NumPy does about this many multiplications:
# `python -m benchmarks.inference` measures where the two meet.
MOST_FOR_NUMPY = 2_000_000


class Inference:
    """Acts for K environments, with one evaluation of the policy per time step.

    Args:
      policy: how to act.
      spec: of the environments, whose actions may be of another type than JAX's.
      num_envs: K.
      seed: of what is random about the policy.
    """

    def __init__(
        self, policy: Policy, spec: EnvironmentSpec, *, num_envs: int, seed: int
    ):
        self._policy, self._dtype = policy, spec.actions.dtype
        self._num_envs = num_envs
        self._random = np.random.default_rng(seed)
        self._state = policy.init(num_envs)
        self._parameters: Nested = None
        self._evaluation: _Evaluation | None = None

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on."""
        if self._evaluation is None:
            self._evaluation = _fastest(self._policy, parameters, self._num_envs)
        self._parameters = self._evaluation.prepare(parameters)

    def act(self, observation: Array) -> Array:
        """Actions `[K, ...]` for observations `[K, ...]`; needs parameters."""
        assert self._evaluation is not None
        noise = self._policy.noise(self._random, self._num_envs)
        action, self._state = self._evaluation.act(
            self._parameters, self._state, observation, noise
        )
        return np.asarray(action).astype(self._dtype, copy=False)


class _Evaluation(NamedTuple):
    """How `act` is evaluated, and what is done to parameters before, once."""

    act: Callable[..., tuple[Any, Nested]]
    prepare: Callable[[Nested], Nested]


def _fastest(policy: Policy, parameters: Nested, num_envs: int) -> _Evaluation:
    """NumPy or JAX: whichever is faster for such parameters."""
    size = sum(leaf.size for leaf in optree.tree_leaves(parameters))
    if not policy.needs_jax and size * num_envs <= MOST_FOR_NUMPY:
        return _Evaluation(policy.act, lambda parameters: parameters)
    # Only here: most actors do without JAX.
    from acmelike.actors.compiled import compile_policy, to_device

    return _Evaluation(compile_policy(policy), to_device)
