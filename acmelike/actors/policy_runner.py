"""A policy at work: parameters, randomness, and a state that moves on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import optree

from acmelike.agent import Policy, PolicyOutput
from acmelike.networks import reset_where
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

# Parameters times environments up to which NumPy is the faster. Calling a compiled
# function costs about 60 us, in which NumPy does about this many multiplications:
# `python -m benchmarks.inference` measures where the two meet.
MAX_FOR_NUMPY = 2_000_000

# (parameters, state, the initial state, where an episode begins [K], observation,
# noise) -> what the policy says.
Evaluate: TypeAlias = Callable[..., PolicyOutput]


class PolicyRunner:
    """Evaluates a policy for a batch: in NumPy or compiled, whichever is faster.

    Args:
      policy: how to act.
      num_envs: B, the most environments of a batch.

    Attributes:
      is_compiled: whether every new size of a batch costs a compilation; known once
        there are parameters.
    """

    def __init__(self, policy: Policy, *, num_envs: int):
        self._policy, self._num_envs = policy, num_envs
        self._parameters: Nested = None
        self._evaluate: Evaluate | None = None
        self.is_compiled = False
        self.to_device: Callable[[Nested], Nested] = lambda arrays: arrays

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on."""
        if self._evaluate is None:
            self._choose(parameters)
        self._parameters = self.to_device(parameters)

    def __call__(
        self,
        state: Nested,
        initial: Nested,
        begins: Array,
        observation: Array,
        noise: Nested,
    ) -> PolicyOutput:
        """What the policy says; its arrays are of NumPy or of JAX.

        Args:
          state: `[B, ...]` what the last call returned of these environments.
          initial: `[B, ...]` the state where an episode begins.
          begins: `[B]` bool, where it does.
          observation: `[B, ...]`.
          noise: what the policy drew for B environments.
        """
        assert self._evaluate is not None
        return self._evaluate(
            self._parameters, state, initial, begins, observation, noise
        )

    def _choose(self, parameters: Nested) -> None:
        size = sum(leaf.size for leaf in optree.tree_leaves(parameters))
        if not self._policy.needs_jax and size * self._num_envs <= MAX_FOR_NUMPY:
            self._evaluate = _in_numpy(self._policy)
            return
        # Only here: most actors do without JAX.
        from acmelike.actors.compiled import compile_policy, to_device

        self._evaluate, self.to_device = compile_policy(self._policy), to_device
        self.is_compiled = True


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
        self._runner = PolicyRunner(policy, num_envs=num_envs)

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on."""
        self._runner.set_parameters(parameters)
        self._initial = self._runner.to_device(self._initial)

    def act(self, step: VectorStep) -> tuple[Array, Mapping[str, Array]]:
        """Actions `[K, ...]` for the observations of a step, and the policy's extras.

        It needs parameters. The policy's state begins anew where an episode does.
        """
        noise = self._policy.noise(self._random, self._num_envs)
        action, self._state, extras = self._runner(
            self._state, self._initial, step.first(), step.observation, noise
        )
        return (
            np.asarray(action).astype(self._dtype, copy=False),
            {name: np.asarray(values) for name, values in extras.items()},
        )


def _in_numpy(policy: Policy) -> Evaluate:
    """`policy` as it is, from its initial state where an episode begins."""

    def evaluate(
        parameters: Nested, state: Nested, initial: Nested, begins: Array, *inputs: Any
    ) -> PolicyOutput:
        if np.count_nonzero(begins):  # A third of the time of `any`.
            state = reset_where(state, initial, begins)
        return policy.act(parameters, state, *inputs)

    return evaluate
