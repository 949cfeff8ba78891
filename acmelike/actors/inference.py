"""Runs a policy for a batch of environments: parameters, random numbers, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import optree

from acmelike.agent import PolicyInputs, check_output
from acmelike.policies import PortablePolicy
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

# NumPy is used up to this number of parameters times environments. A call of a compiled
# function takes about 60 us, in which NumPy does about this many multiplications:
# `python -m benchmarks.inference` measures where both take the same time.
MAX_FOR_NUMPY = 2_000_000

# (state, initial state, is_first [B], observation, noise) -> action, state, extras.
Evaluate: TypeAlias = Callable[..., tuple[Any, Nested, Mapping[str, Any]]]


class PolicyRunner:
    """Evaluates a policy for a batch, in NumPy or compiled, whichever is faster.

    Args:
      policy: from the learner.
      num_envs: the largest batch, B.

    Attributes:
      is_compiled: whether each new batch size costs a compilation. It is set with the
        first parameters.
    """

    def __init__(self, policy: PortablePolicy, *, num_envs: int):
        self._policy, self._num_envs = policy, num_envs
        self._bind: Callable[[Nested], Evaluate] | None = None
        self._evaluate: Evaluate | None = None
        self._prepare: Callable[[Nested], Nested] = lambda state: state
        self.is_compiled = False

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these parameters from now on."""
        if self._bind is None:
            self._bind = self._choose(parameters)
        self._evaluate = self._bind(parameters)

    def prepare(self, state: Nested) -> Nested:
        """The state in the form that calls take and return; after `set_parameters`."""
        return self._prepare(state)

    def __call__(
        self,
        state: Nested,
        initial: Nested,
        is_first: Array,
        observation: Nested,
        noise: Nested,
    ) -> tuple[Any, Nested, Mapping[str, Any]]:
        """Returns the action, the next state and the extras, of NumPy or of JAX.

        Args:
          state: `[B, ...]`, returned by the last call for these environments.
          initial: `[B, ...]`, the state where an episode starts.
          is_first: `[B]` bool, where an episode starts.
          observation: `[B, ...]`, nested as the environments' observations.
          noise: drawn for B environments.
        """
        assert self._evaluate is not None
        return self._evaluate(state, initial, is_first, observation, noise)

    def _choose(self, parameters: Nested) -> Callable[[Nested], Evaluate]:
        policy = self._policy
        if not policy.needs_jax:
            act = policy.load_function()
            return lambda parameters: _with_resets(
                lambda *inputs: check_output(act(parameters, *inputs))
            )
        size = sum(leaf.size for leaf in optree.tree_leaves(parameters))
        if policy.text is not None and size * self._num_envs <= MAX_FOR_NUMPY:
            bind = policy.load_text()
            self._prepare = lambda state: tuple(optree.tree_leaves(state))
            return lambda parameters: _with_resets(bind(parameters))
        # Imported only here: most actors do not need JAX.
        from acmelike.actors.compiled import compile_policy, to_device

        self.is_compiled, self._prepare = True, to_device
        compiled = compile_policy(policy)

        def bind_compiled(parameters: Nested) -> Evaluate:
            on_device = to_device(parameters)
            return lambda *inputs: compiled(on_device, *inputs)

        return bind_compiled


class Inference:
    """Acts for K environments, with one evaluation of the policy per time step.

    It needs parameters before it can act.

    Args:
      policy: from the learner.
      inputs: initial states and random numbers.
      spec: of the environments. Actions get its dtype, which JAX may not support.
      num_envs: K.
      seed: of the random numbers.
    """

    def __init__(
        self,
        policy: PortablePolicy,
        inputs: PolicyInputs,
        spec: EnvironmentSpec,
        *,
        num_envs: int,
        seed: int,
    ):
        self._inputs, self._dtype = inputs, spec.actions.dtype
        self._num_envs = num_envs
        self._random = np.random.default_rng(seed)
        self._runner = PolicyRunner(policy, num_envs=num_envs)
        self._state: Nested = None
        self._initial: Nested = None

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these parameters from now on."""
        self._runner.set_parameters(parameters)
        if self._initial is None:
            self._initial = self._runner.prepare(self._inputs.init(self._num_envs))
            self._state = self._initial

    def act(self, step: VectorStep) -> tuple[Array, Mapping[str, Array]]:
        """Returns actions `[K, ...]` for the observations of a step, and the extras.

        Where an episode starts, the policy's state is reset first.
        """
        noise = self._inputs.noise(self._random, self._num_envs)
        action, self._state, extras = self._runner(
            self._state, self._initial, step.first(), step.observation, noise
        )
        return (
            as_actions(action, self._dtype),
            {name: np.asarray(values) for name, values in extras.items()},
        )


def as_actions(action: Any, dtype: np.dtype[Any]) -> Array:
    """Converts what a policy returned to actions of an environment's dtype.

    Raises:
      TypeError: the policy returned floating-point actions, but the environment takes
        integers.
      ValueError: one is a number that the environment's type cannot hold.
    """
    actions: Array = np.asarray(action)
    if actions.dtype == dtype:
        return actions
    if actions.dtype.kind == "f" and dtype.kind != "f":
        raise TypeError(
            f"the policy returned actions of {actions.dtype}, and the environment's are"
            f" {dtype}: `act` must return integers, for example from jnp.argmax"
        )
    try:
        return actions.astype(dtype, casting="safe")
    except TypeError:  # The type holds fewer numbers.
        cast: Array = actions.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, actions):
        raise ValueError(
            f"the policy returned the actions {actions.tolist()}, and the "
            f"environment's are {dtype}, which cannot hold them"
        )
    return cast


def _with_resets(act: Callable[..., Any]) -> Evaluate:
    """`act` in NumPy, with the initial state where an episode starts."""

    def evaluate(
        state: Nested, initial: Nested, is_first: Array, observation: Any, noise: Any
    ) -> Any:
        if np.count_nonzero(is_first):  # Faster than `any`: a third of its time.

            def choose(now: Array, first: Array) -> Array:
                return np.where(is_first.reshape(-1, *[1] * (now.ndim - 1)), first, now)

            state = optree.tree_map(choose, state, initial)
        return act(state, observation, noise)

    return evaluate
