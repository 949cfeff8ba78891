"""Runs one policy for the environments of many actors, some of them at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.actors.inference import PolicyRunner, as_actions
from acmelike.agent import PolicyInputs
from acmelike.policies import PortablePolicy
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep


class ActorOutput(NamedTuple):
    """What the policy returns for one actor.

    Attributes:
      action: `[K, ...]`.
      extras: by name, `[K, ...]`.
    """

    action: Array
    extras: Mapping[str, Array]


class BatchedInference:
    """Acts for N actors of K environments, with one evaluation for each batch.

    It keeps the policy's state of every environment. Where the policy is compiled,
    batches are padded to K, 2 K, 4 K, ... and N K environments, and all of these sizes
    are compiled before the first batch.

    It needs parameters before it can act.

    Args:
      policy: from the learner.
      inputs: of each actor. They may differ in their initial states; the first one
        draws the random numbers of all.
      spec: of the environments.
      num_envs: K.
      seed: of the random numbers.
    """

    def __init__(
        self,
        policy: PortablePolicy,
        inputs: Sequence[PolicyInputs],
        spec: EnvironmentSpec,
        *,
        num_envs: int,
        seed: int,
    ):
        self._inputs, self._spec, self._num_envs = inputs, spec, num_envs
        self._random = np.random.default_rng(seed)
        self._noise = inputs[0].noise
        self._initial: Nested = None
        self._state: Nested = None
        # For each actor, the rows of its environments' states.
        self._rows = np.arange(len(inputs) * num_envs).reshape(-1, num_envs)
        self._runner = PolicyRunner(policy, num_envs=self._rows.size)
        self._sizes: list[int] = []

    def set_parameters(self, parameters: Nested) -> None:
        """Acts with these parameters from now on."""
        self._runner.set_parameters(parameters)
        if self._initial is None:
            initial = optree.tree_map(
                lambda *states: np.concatenate(states),
                *(one.init(self._num_envs) for one in self._inputs),
            )
            # NumPy arrays, because rows are overwritten in place.
            self._initial = optree.tree_map(np.asarray, self._runner.prepare(initial))
            self._state = optree.tree_map(np.copy, self._initial)
        if self._runner.is_compiled and not self._sizes:
            self._compile()

    def act(
        self, actors: Sequence[int], steps: Sequence[VectorStep]
    ) -> list[ActorOutput]:
        """Returns the actions of some actors for their time steps.

        Where an episode starts, the policy's state is reset first.

        Args:
          actors: their indices, none of them twice.
          steps: one of each of these actors, of its K environments.
        """
        rows = self._rows[list(actors)].reshape(-1)
        size = next((size for size in self._sizes if size >= rows.size), rows.size)
        # Padding repeats the last environment, and its results are dropped.
        padded = np.minimum(np.arange(size), rows.size - 1)
        action, state, extras = self._runner(
            _pick(self._state, rows[padded]),
            _pick(self._initial, rows[padded]),
            np.concatenate([step.first() for step in steps])[padded],
            optree.tree_map(
                lambda *arrays: np.concatenate(arrays)[padded],
                *(step.observation for step in steps),
            ),
            self._noise(self._random, size),
        )
        _put(self._state, rows, state)
        actions = as_actions(action, self._spec.actions.dtype)
        extras = {name: np.asarray(values) for name, values in extras.items()}
        starts = range(0, rows.size, self._num_envs)
        parts = [slice(start, start + self._num_envs) for start in starts]
        return [
            ActorOutput(actions[part], {name: x[part] for name, x in extras.items()})
            for part in parts
        ]

    def _compile(self) -> None:
        """Compiles every batch size, by evaluating a batch of zeros of that size."""
        size, most = self._num_envs, self._rows.size
        while size < most:
            self._sizes.append(size)
            size *= 2
        self._sizes.append(most)
        random = np.random.default_rng(0)
        for size in self._sizes:
            rows = np.zeros(size, int)
            self._runner(
                _pick(self._state, rows),
                _pick(self._initial, rows),
                np.zeros(size, bool),
                self._spec.zero_observations(size),
                self._noise(random, size),
            )


def _pick(states: Nested, rows: Array) -> Nested:
    """The states `[B, ...]` of some environments."""
    return optree.tree_map(lambda state: state[rows], states)


def _put(states: Nested, rows: Array, new: Nested) -> None:
    """Replaces the states of some environments by the first of `new`."""

    def put(state: Array, values: Any) -> None:
        state[rows] = np.asarray(values)[: rows.size]

    optree.tree_map_(put, states, new)
