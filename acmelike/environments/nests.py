"""Observations of several arrays: dicts and tuples, nested as the environment does."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError, EnvironmentFault
from acmelike.types import (
    MAX_CATEGORIES,
    Array,
    EnvironmentSpec,
    MultiDiscreteArray,
    NestedSpec,
)


def plain(nest: Any) -> Any:
    """The nest with every mapping as a dict and every list as a tuple.

    To JAX an `OrderedDict`, as dm_control's are, is another kind of nest than a dict.
    """
    if isinstance(nest, Mapping):
        return {key: plain(part) for key, part in nest.items()}
    if isinstance(nest, tuple | list):
        return tuple(plain(part) for part in nest)
    return nest


def observation_shape(spec: EnvironmentSpec, *, agent: str) -> tuple[int, ...]:
    """The shape of an observation, for an agent that takes one array.

    Args:
      spec: of the environment.
      agent: the name of the agent, for the message.

    Raises:
      ConfigError: observations are several arrays.
    """
    if not isinstance(spec.observations, specs.Array):
        names = ", ".join(map(repr, Leaves(spec.observations).names))
        raise ConfigError(
            f"{agent} needs observations of one array; this environment's have several:"
            f" {names}"
        )
    shape: tuple[int, ...] = spec.observations.shape
    return shape


def check_observation_spec(spec: NestedSpec) -> None:
    """Checks that observations are arrays that something can be learned from.

    Raises:
      ConfigError: a part is no array, two have one name, or none has a number.
    """
    leaves = Leaves(spec)
    for name, leaf in zip(leaves.names, leaves.specs, strict=True):
        if not isinstance(leaf, specs.Array):
            where = f" in '{name}'" if name else ""
            raise ConfigError(f"the spec of observations has no array{where}: {leaf}")
    twice = [name for name in leaves.names if leaves.names.count(name) > 1]
    if twice:  # Such as of {"a/b": ..., "a": {"b": ...}}.
        raise ConfigError(f"two arrays of observations have the name '{twice[0]}'")
    if not any(math.prod(leaf.shape) for leaf in leaves.specs):
        raise ConfigError("observations have no numbers: the shape of each is empty")


class Leaves:
    """The arrays of observations, in the order in which JAX has them.

    Args:
      spec: of one observation, as `plain` returns it.

    Attributes:
      names: of the arrays, such as "arm/position"; "" for the only one.
      specs: of the arrays.
      only: shape and dtype, if an observation is one array and no nest; else None.
    """

    def __init__(self, spec: NestedSpec) -> None:
        paths, self.specs, self._nest = optree.tree_flatten_with_path(spec)
        self.names = ["/".join(map(str, path)) for path in paths]
        self._paths: list[tuple[Any, ...]] = paths
        self._is_one = paths == [()]

    @functools.cached_property
    def _forms(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        # Kept, as to ask a spec takes as long as to copy a small array.
        return [(leaf.shape, leaf.dtype) for leaf in self.specs]

    @functools.cached_property
    def only(self) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
        return self._forms[0] if self._is_one else None

    def empty(self, num_envs: int) -> list[Array]:
        """New arrays `[K, ...]`, one of each."""
        return [np.empty((num_envs, *shape), dtype) for shape, dtype in self._forms]

    def joined(self, arrays: Sequence[Array]) -> Any:
        """The arrays as a nest."""
        return arrays[0] if self._is_one else self._nest.unflatten(arrays)

    def of(self, observation: Any, *axes: int) -> Sequence[Array]:
        """The arrays `[*axes, ...]` of what an environment returned.

        Numbers are cast to the type of the spec within their kind.

        Args:
          observation: nested as the spec; what else it has is left out.
          *axes: the lengths of axes before those of an observation.

        Raises:
          WrongObservation: one is missing, or is not what the spec says.
        """
        arrays = []
        found = (observation,) if self._is_one else self._found(observation)
        for place, array in enumerate(found):
            if not isinstance(array, np.ndarray):
                array = np.asarray(array)
            shape, dtype = self._forms[place]
            if array.shape != axes + shape:
                said = f"shape {array.shape}", f"{axes + shape}"
                raise WrongObservation(self._sentence(place, *said))
            if array.dtype != dtype:
                if not np.can_cast(array.dtype, dtype, "same_kind"):
                    said = f"dtype {array.dtype}", f"{dtype}"
                    raise WrongObservation(self._sentence(place, *said))
                cast = array.astype(dtype)
                if dtype.kind in "iu" and not np.array_equal(cast, array):
                    got = f"dtype {array.dtype}, whose numbers {dtype} cannot hold"
                    raise WrongObservation(self._sentence(place, got, f"{dtype}"))
                array = cast
            arrays.append(array)
        return arrays

    def of_many(self, observations: Any) -> Sequence[Array]:
        """The arrays `[K, ...]` of observations of K environments.

        Raises:
          WrongObservation: as `of`; or there is no K.
        """
        found = (observations,) if self._is_one else self._found(observations)
        shape = np.shape(found[0])
        if not shape:
            raise WrongObservation(
                "act_batch takes observations [K, ...] of K environments; act takes one"
            )
        return self.of(observations, shape[0])

    def check_finite(
        self, arrays: Sequence[Array], num_steps: int, begins: Sequence[int] | Array
    ) -> None:
        """Checks arrays `[K, ...]` for what no agent can learn from.

        A category that the spec does not have would be nothing at all, one-hot.

        Args:
          arrays: of K environments.
          num_steps: that were taken before.
          begins: how many there were when the episode of each environment began.

        Raises:
          EnvironmentFault: one has a NaN, an infinity or a category that is not in its
            spec. It names the environment and the array, and for a number that is not
            finite the step.
        """
        for place, array in enumerate(arrays):
            if (bounds := self._categories[place]) is not None:
                self._check_categories(place, array, *bounds)
            # The sum takes half the time. It may be infinite where no number is.
            if array.dtype.kind != "f" or math.isfinite(np.add.reduce(array, None)):
                continue
            if np.isfinite(array).all():
                continue
            k = int(np.argwhere(~np.isfinite(array))[0][0])
            bad = array[k][~np.isfinite(array[k])][0]
            raise EnvironmentFault(
                f"environment {k} returned an observation with {bad}{self._in(place)} "
                f"in step {num_steps - begins[k]} of an episode; its numbers must be "
                "finite"
            )

    @functools.cached_property
    def _categories(self) -> list[tuple[Array, Array] | None]:
        """The bounds of what networks see one-hot; None for all else."""
        return [
            (leaf.minimum, leaf.maximum) if _is_categories(leaf) else None
            for leaf in self.specs
        ]

    def _check_categories(
        self, place: int, array: Array, low: Array, high: Array
    ) -> None:
        is_outside = (array < low) | (array > high)
        if np.count_nonzero(is_outside):
            k = int(np.argwhere(is_outside)[0][0])
            raise EnvironmentFault(
                f"environment {k} returned {array[k].tolist()}{self._in(place)}, its "
                f"specification says {low.tolist()} to {high.tolist()}"
            )

    def _found(self, observation: Any) -> list[Any]:
        found = []
        for place, path in enumerate(self._paths):
            try:
                found.append(functools.reduce(operator.getitem, path, observation))
            except (KeyError, IndexError, TypeError):
                name = self.names[place]
                raise WrongObservation(f"an observation without '{name}'") from None
        return found

    def _sentence(self, place: int, got: str, wanted: str) -> str:
        return (
            f"an observation of {got}{self._in(place)}, its specification says {wanted}"
        )

    def _in(self, place: int) -> str:
        return f" in '{self.names[place]}'" if self.names[place] else ""


def _is_categories(spec: specs.Array) -> bool:
    """Whether networks see it one-hot."""
    if isinstance(spec, MultiDiscreteArray):
        return bool(sum(spec.categories()[1]) <= MAX_CATEGORIES)
    is_bounded = isinstance(spec, specs.BoundedArray) and spec.shape == ()
    if not is_bounded or spec.dtype.kind not in "iu":
        return False
    number = int(spec.maximum) - int(spec.minimum) + 1
    return 0 < number <= MAX_CATEGORIES


class WrongObservation(ValueError):
    """What an environment returned is not what its spec says."""
