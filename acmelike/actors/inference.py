"""A policy at work: parameters, randomness, and a state that moves on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import optree

from acmelike.agent import Acted, Policy
from acmelike.networks import restart
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

# Parameters times environments up to which NumPy is the faster. Calling a compiled
# function costs about 60 us, in which NumPy does about this many multiplications:
# `python -m benchmarks.inference` measures where the two meet.
MOST_FOR_NUMPY = 2_000_000

# (parameters, state, the initial state, where an episode begins [K], observation,
# noise) -> what the policy says.
Evaluate: TypeAlias = Callable[..., Acted]


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
        self._state = self._initial = policy.init(num_envs)
        self._parameters: Nested = None
        self._evaluate: Evaluate | None = None
        self._prepare: Callable[[Nested], Nested] = lambda parameters: parameters

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on."""
        if self._evaluate is None:
            self._choose_evaluation(parameters)
        self._parameters = self._prepare(parameters)

    def act(self, step: VectorStep) -> tuple[Array, Mapping[str, Array]]:
        """Actions `[K, ...]` for the observations of a step, and the policy's extras.

        It needs parameters. The policy's state begins anew where an episode does.
        """
        assert self._evaluate is not None
        noise = self._policy.noise(self._random, self._num_envs)
        action, self._state, extras = self._evaluate(
            self._parameters,
            self._state,
            self._initial,
            step.first(),
            step.observation,
            noise,
        )
        return (
            np.asarray(action).astype(self._dtype, copy=False),
            {name: np.asarray(values) for name, values in extras.items()},
        )

    def _choose_evaluation(self, parameters: Nested) -> None:
        """NumPy or JAX: whichever is faster for such parameters."""
        size = sum(leaf.size for leaf in optree.tree_leaves(parameters))
        if not self._policy.needs_jax and size * self._num_envs <= MOST_FOR_NUMPY:
            self._evaluate = _in_numpy(self._policy)
            return
        # Only here: most actors do without JAX.
        from acmelike.actors.compiled import compile_policy, to_device

        self._evaluate, self._prepare = compile_policy(self._policy), to_device
        self._initial = to_device(self._initial)


def _in_numpy(policy: Policy) -> Evaluate:
    """`policy` as it is, from its initial state where an episode begins."""

    def evaluate(
        parameters: Nested, state: Nested, initial: Nested, begins: Array, *inputs: Any
    ) -> Acted:
        if begins.any():
            state = restart(state, initial, begins)
        return policy.act(parameters, state, *inputs)

    return evaluate
