"""Adds n-step transitions of K environments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import optree
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.adder import AdderOutput
from acmelike.adders.frames import observations_signature
from acmelike.errors import ConfigError
from acmelike.types import Array, EnvironmentSpec, Transition, VectorStep

# (transitions [M, ...], the policy's extras at o_tm1, those at o_t) -> priorities [M].
# With frame stacks, observations are numbers of frames here, and not images.
InitialPriority: TypeAlias = Callable[
    [Transition, Mapping[str, Array], Mapping[str, Array]], Array
]


def transition_signature(
    spec: EnvironmentSpec, extras: Mapping[str, specs.Array] = {}
) -> Transition:
    """The signature of a table of transitions.

    Args:
      spec: of the environments.
      extras: by name, the specs of the policy's outputs beside the action, without an
        axis of environments.
    """
    observations = observations_signature(spec)
    return Transition(
        o_tm1=observations,
        a_tm1=spec.actions,
        r_t=specs.Array((), np.float32, "r_t"),
        discount_t=specs.Array((), np.float32, "discount_t"),
        o_t=observations,
        version=specs.Array((), np.int64, "version"),
        extras=dict(extras),
    )


class NStepAdder:
    """An `Adder` of transitions over n steps.

    With `d_i` the environment's discount, a transition over m steps from `o_{t-m}` has

        r_t        = sum over i = 1..m of (product over j < i of discount * d_j) r_i
        discount_t = product over i = 1..m of discount * d_i

    Then `r_t + discount_t * V(o_t)` is the n-step return of Sutton and Barto (2018,
    equation 7.1), with the discount of every single step. n-step Q-learning has a
    maximum over actions in the place of V (after Watkins, 1989).

    Each step from the n-th of an episode on completes one transition with m = n. The
    last step of an episode, terminated or truncated, also completes the shorter ones
    down to m = 1; an episode of less than n steps has only these.

    Args:
      num_envs: K.
      n: the steps of a transition.
      discount: of the agent, for one step.
      initial_priority: computes the first priorities of transitions. Transitions are
        then output one step later, because it needs the policy's extras at `o_t`. None
        for the largest priority so far.
      extras: names of the policy's extras at `o_tm1` that transitions contain.

    Raises:
      ConfigError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        num_envs: int,
        n: int,
        discount: float,
        initial_priority: InitialPriority | None = None,
        extras: Collection[str] = (),
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        if n < 1:
            raise ConfigError(f"n must be at least 1, not {n}")
        if not 0 <= discount <= 1:
            raise ConfigError(f"discount must be from 0 to 1, not {discount}")
        self._num_envs, self._n, self._discount = num_envs, n, discount
        self._initial_priority = initial_priority
        self.span = n if initial_priority is None else n + 1
        self._completed: _TransitionBatch | None = None
        self._names_of_extras = tuple(extras)
        self._extras: dict[str, Array] = {}
        # A ring of the last n steps: a row holds the observation and action of a step,
        # and the discounted rewards since then. All environments share the position in
        # the ring, so row r of `_ages` lists the rows from the oldest to r.
        self._row = n - 1
        rows = np.arange(n)
        self._ages = (rows[:, None] + 1 + rows) % n
        self._version = np.zeros((n, num_envs), np.int64)
        # In double precision: in single precision, n roundings would add up.
        self._reward = np.zeros((n, num_envs))
        self._product = np.ones((n, num_envs))
        # Whether the step is in the present episode.
        self._is_live = np.zeros((n, num_envs), bool)
        # Made when the first observation and action show the shapes: a ring for each
        # array of observations, the newest arrays, their nest, a ring for the actions.
        self._o_tm1: list[Array] | None = None
        self._o_t: list[Any] = []
        self._nest = optree.treespec_tuple()
        self._a_tm1: Array | None = None

    def start(self, step: VectorStep) -> None:
        """Discards everything that is not complete, and starts from a time step.

        Args:
          step: the one that the next action answers; usually from `Vector.reset`.

        Raises:
          ValueError: the step is not of `num_envs` environments.
        """
        self._check_length(step.step_type, "a step")
        self._is_live[:] = False
        self._completed = None
        self._o_t, self._nest = optree.tree_flatten(step.observation)
        self._o_tm1 = [_make_ring(self._n, array) for array in self._o_t]
        self._a_tm1 = None

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`.

        Returns:
          The items are a `Transition` of new arrays `[M, ...]`, ordered by environment
          and then from the longest transition to the shortest; None if M is 0. A FIRST
          step completes none. With `initial_priority`, the items are those that the
          step before completed.

        Raises:
          RuntimeError: `start` was not called.
          ValueError: the actions or the step are not of `num_envs` environments, or
            the actions of another type than those before.
        """
        actions = np.asarray(a_tm1)
        self._check_length(actions, "actions")
        self._check_length(step_t.step_type, "a step")
        if self._o_tm1 is None:
            raise RuntimeError("add was called before start")
        if self._a_tm1 is None:
            self._a_tm1 = _make_ring(self._n, actions)
        elif not np.can_cast(actions.dtype, self._a_tm1.dtype, "same_kind"):
            raise ValueError(
                f"actions of {self._a_tm1.dtype} cannot be followed by actions of "
                f"{actions.dtype}"
            )

        if self._initial_priority is None:
            self._keep({name: extras_tm1[name] for name in self._names_of_extras})
            completed = self._advance(actions, version_tm1, step_t)
            return AdderOutput() if completed is None else AdderOutput(completed.items)
        self._keep(extras_tm1)
        before = self._completed
        self._completed = self._advance(actions, version_tm1, step_t)
        if before is None:
            return AdderOutput()
        extras_t = {name: values[before.envs] for name, values in extras_tm1.items()}
        priorities = self._initial_priority(before.items, before.extras_tm1, extras_t)
        return AdderOutput(before.items, priorities=priorities)

    def _keep(self, extras_tm1: Mapping[str, Array]) -> None:
        """Writes extras of the policy into the row of the next step."""
        for name, values in extras_tm1.items():
            if name not in self._extras:
                self._extras[name] = _make_ring(self._n, values)
            self._extras[name][(self._row + 1) % self._n] = values

    def _advance(
        self, actions: Array, version_tm1: int, step_t: VectorStep
    ) -> _TransitionBatch | None:
        """Writes a step into the ring; returns the transitions that it completes."""
        assert self._o_tm1 is not None and self._a_tm1 is not None
        row = self._row = (self._row + 1) % self._n
        for ring, array in zip(self._o_tm1, self._o_t, strict=True):
            ring[row] = array
        self._a_tm1[row] = actions
        self._version[row], self._reward[row], self._product[row] = version_tm1, 0, 1
        self._is_live[row] = True
        self._reward += self._product * step_t.reward
        self._product *= self._discount
        self._product *= step_t.discount
        # `tree_leaves` would find the nest again, which takes four times as long.
        self._o_t = self._nest.flatten_up_to(step_t.observation)

        # The step after LAST is FIRST, so this also clears an episode that has ended.
        self._is_live &= ~step_t.first()
        ages = self._ages[row]
        is_live = self._is_live[ages]
        is_complete = is_live & step_t.last()
        is_complete[0] = is_live[0]
        envs, oldest_first = is_complete.T.nonzero()
        if not envs.size:
            return None
        index = ages[oldest_first], envs
        extras = {name: ring[index] for name, ring in self._extras.items()}
        items = Transition(
            o_tm1=self._nest.unflatten([ring[index] for ring in self._o_tm1]),
            a_tm1=self._a_tm1[index],
            r_t=self._reward[index].astype(np.float32),
            discount_t=self._product[index].astype(np.float32),
            o_t=self._nest.unflatten([array[envs] for array in self._o_t]),
            version=self._version[index],
            extras={name: extras[name] for name in self._names_of_extras},
        )
        return _TransitionBatch(items, envs, extras)

    def _check_length(self, array: Array, what: str) -> None:
        if array.shape[:1] != (self._num_envs,):
            raise ValueError(
                f"{what} of {self._num_envs} environments cannot have the shape "
                f"{array.shape}"
            )


class _TransitionBatch(NamedTuple):
    """The transitions that one step completes.

    Attributes:
      items: `[M, ...]`.
      envs: `[M]`, the index of the environment of each.
      extras_tm1: by name, `[M, ...]` extras of the policy at `o_tm1`.
    """

    items: Transition
    envs: Array
    extras_tm1: Mapping[str, Array]


def _make_ring(n: int, array: Array) -> Array:
    return np.empty((n, *array.shape), array.dtype)
