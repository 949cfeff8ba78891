"""One policy at work for the environments of many actors, some of them at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.actors.policy_runner import PolicyRunner
from acmelike.agent import Policy
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep


class ActorOutput(NamedTuple):
    """What the policy says to one actor.

    Attributes:
      action: `[K, ...]`.
      extras: by name, `[K, ...]`.
    """

    action: Array
    extras: Mapping[str, Array]


class BatchedInference:
    """Acts for N actors of K environments, with one evaluation for those that ask.

    It keeps the policy's state of every environment. Where the evaluation is compiled,
    batches are padded to K, 2 K, 4 K, ... and N K environments, all of which are
    compiled before the first is used.

    Args:
      policies: of each actor; equal values, which differ in their initial states.
      spec: of the environments.
      num_envs: K.
      seed: of what is random about the policy.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        spec: EnvironmentSpec,
        *,
        num_envs: int,
        seed: int,
    ):
        self._policy, self._spec, self._num_envs = policies[0], spec, num_envs
        self._random = np.random.default_rng(seed)
        self._initial = optree.tree_map(
            lambda *states: np.concatenate(states),
            *(policy.init(num_envs) for policy in policies),
        )
        self._state = optree.tree_map(np.copy, self._initial)
        # Of each actor, where the states of its environments are.
        self._rows = np.arange(len(policies) * num_envs).reshape(-1, num_envs)
        self._runner = PolicyRunner(self._policy, num_envs=self._rows.size)
        self._sizes: list[int] = []

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these from now on."""
        self._runner.set_parameters(parameters)
        if self._runner.is_compiled and not self._sizes:
            self._compile()

    def act(
        self, actors: Sequence[int], steps: Sequence[VectorStep]
    ) -> list[ActorOutput]:
        """What each of these actors is to do after its time step.

        It needs parameters. A policy's state begins anew where an episode does.

        Args:
          actors: none of them twice.
          steps: of their K environments each.
        """
        rows = self._rows[list(actors)].reshape(-1)
        size = next((size for size in self._sizes if size >= rows.size), rows.size)
        # Padding repeats the last environment; nobody looks at what comes of it.
        padded = np.minimum(np.arange(size), rows.size - 1)
        action, state, extras = self._runner(
            _pick(self._state, rows[padded]),
            _pick(self._initial, rows[padded]),
            np.concatenate([step.first() for step in steps])[padded],
            np.concatenate([step.observation for step in steps])[padded],
            self._policy.noise(self._random, size),
        )
        _put(self._state, rows, state)
        actions = np.asarray(action).astype(self._spec.actions.dtype, copy=False)
        extras = {name: np.asarray(values) for name, values in extras.items()}
        starts = range(0, rows.size, self._num_envs)
        parts = [slice(start, start + self._num_envs) for start in starts]
        return [
            ActorOutput(actions[part], {name: x[part] for name, x in extras.items()})
            for part in parts
        ]

    def _compile(self) -> None:
        """Evaluates batches of nothing, of every size that there will be."""
        size, most = self._num_envs, self._rows.size
        while size < most:
            self._sizes.append(size)
            size *= 2
        self._sizes.append(most)
        observation, nothing = self._spec.observations, np.random.default_rng(0)
        for size in self._sizes:
            rows = np.zeros(size, int)
            self._runner(
                _pick(self._state, rows),
                _pick(self._initial, rows),
                np.zeros(size, bool),
                np.zeros((size, *observation.shape), observation.dtype),
                self._policy.noise(nothing, size),
            )


def _pick(states: Nested, rows: Array) -> Nested:
    """The states `[B, ...]` of some environments."""
    return optree.tree_map(lambda state: state[rows], states)


def _put(states: Nested, rows: Array, new: Nested) -> None:
    """Replaces the states of some environments by the first of `new`."""

    def put(state: Array, values: Any) -> None:
        state[rows] = np.asarray(values)[: rows.size]

    optree.tree_map_(put, states, new)
