"""Observations of several arrays, in dicts and tuples as the environment nests them."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optree
from dm_env import specs

from acmelike.errors import ConfigError, EnvironmentFault
from acmelike.types import Array, EnvironmentSpec, NestedSpec, is_category, is_stacked

_MAX_FLOAT32 = float(np.finfo(np.float32).max)


def plain(nest: Any) -> Any:
    """The nest with every mapping as a dict and every list as a tuple.

    For JAX, an `OrderedDict` (dm_control returns these) is another type than a dict.
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
      ConfigError: a part is not an array, two have the same name, or all are empty.
    """
    leaves = Leaves(spec)
    for name, leaf in zip(leaves.names, leaves.specs, strict=True):
        if not isinstance(leaf, specs.Array):
            where = f" in '{name}'" if name else ""
            raise ConfigError(f"the spec of observations has no array{where}: {leaf}")
    twice = [name for name in leaves.names if leaves.names.count(name) > 1]
    if twice:  # Such as in {"a/b": ..., "a": {"b": ...}}.
        raise ConfigError(f"two arrays of observations have the name '{twice[0]}'")
    if not any(math.prod(leaf.shape) for leaf in leaves.specs):
        raise ConfigError("observations have no numbers: the shape of each is empty")


class BadNumber(NamedTuple):
    """A number of observations `[K, ...]` that no agent can learn from.

    Attributes:
      row: which of the K observations has it.
      found: the number, and the name of its array.
      rule: the rule that the number breaks.
    """

    row: int
    found: str
    rule: str


class Leaves:
    """Takes observations apart into arrays, in JAX's order, and checks them.

    Args:
      spec: of one observation, as `plain` returns it.
      num_frames: F, if observations are stacks of F frames; see `is_stacked`.

    Attributes:
      paths: of the arrays, as optree returns them, such as ("arm", "position").
      names: of the arrays, such as "arm/position"; "" for the only one.
      specs: of the arrays.
      only: shape and dtype if an observation is a single array; None if it is a nest.
    """

    def __init__(self, spec: NestedSpec, num_frames: int = 1) -> None:
        paths, self.specs, self._nest = optree.tree_flatten_with_path(spec)
        self.paths: list[tuple[Any, ...]] = paths
        self.names = ["/".join(map(str, path)) for path in paths]
        self._is_one = paths == [()]
        self._num_frames = [num_frames if is_stacked(path) else 1 for path in paths]

    @functools.cached_property
    def _forms(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        # Cached: reading a spec takes as long as copying a small array.
        return [(leaf.shape, leaf.dtype) for leaf in self.specs]

    @functools.cached_property
    def only(self) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
        return self._forms[0] if self._is_one else None

    def empty(self, num_envs: int) -> list[Array]:
        """New arrays `[K, ...]`, one for each array of an observation."""
        return [np.empty((num_envs, *shape), dtype) for shape, dtype in self._forms]

    def joined(self, arrays: Sequence[Array]) -> Any:
        """Nests the arrays, or one object for each, as an observation is nested."""
        return arrays[0] if self._is_one else self._nest.unflatten(arrays)

    def of(self, observation: Any, *axes: int) -> Sequence[Array]:
        """The arrays `[*axes, ...]` of an observation that an environment returned.

        Numbers are cast to the dtype of the spec if it is of the same kind.

        Args:
          observation: nested as the spec; further parts are ignored.
          *axes: the lengths of axes before those of an observation.

        Raises:
          WrongObservation: an array is missing, or differs from its spec.
        """
        arrays = []
        found = (observation,) if self._is_one else self._found(observation)
        for place, array in enumerate(found):
            if not isinstance(array, np.ndarray):
                array = self._as_array(place, array)
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
          WrongObservation: as `of`; or there is no axis of K.
        """
        found = (observations,) if self._is_one else self._found(observations)
        shape = self._as_array(0, found[0]).shape
        if not shape:
            raise WrongObservation(
                "act_batch takes observations [K, ...] of K environments; act takes one"
            )
        return self.of(observations, shape[0])

    def check_finite(
        self, arrays: Sequence[Array], num_steps: int, begins: Sequence[int] | Array
    ) -> None:
        """Raises an error if `bad_number` finds a number in arrays `[K, ...]`.

        Args:
          arrays: of K environments.
          num_steps: how many steps were taken so far.
          begins: the same number when the episode of each environment began.

        Raises:
          EnvironmentFault: there is such a number. The message has the environment,
            the array and the step.
        """
        if (bad := self.bad_number(arrays)) is not None:
            step = num_steps - begins[bad.row]
            raise EnvironmentFault(
                f"environment {bad.row} returned an observation with {bad.found} in "
                f"step {step} of an episode; {bad.rule}"
            )

    def bad_number(self, arrays: Sequence[Array]) -> BadNumber | None:
        """The first number of arrays `[K, ...]` that no agent can learn from.

        That is a NaN, an infinity, a category that the spec does not have (one-hot, it
        would be all zeros), or a whole number that needs more than 32 bits.
        """
        for place, array in enumerate(arrays):
            if (limits := self._limits[place]) is not None:
                low, high, rule = limits
                is_bad = (array < low) | (array > high)
            elif array.dtype.kind == "f" and array.itemsize > 4:
                is_bad = ~(np.abs(array) <= _MAX_FLOAT32)  # Networks use float32.
                rule = "its numbers must be finite as float32"
            elif array.dtype.kind == "f":
                # The sum of squares takes less than half the time. It may be infinite
                # although every number is finite.
                if math.isfinite(np.vdot(array, array)):
                    continue
                is_bad, rule = ~np.isfinite(array), "its numbers must be finite"
            else:
                continue
            if not np.count_nonzero(is_bad):
                continue
            k = int(np.argwhere(is_bad)[0][0])
            bad: Any = array[k][is_bad[k]][0]
            if is_category(self.specs[place], self._num_frames[place]):
                bad = array[k].tolist()  # All of it: the rule lists all bounds.
            return BadNumber(k, f"{bad}{self._in(place)}", rule)
        return None

    @functools.cached_property
    def _limits(self) -> list[tuple[Any, Any, str] | None]:
        """The bounds of each array's whole numbers, and the rule; None if unbounded."""
        return [*map(_limits_of, self.specs, self._num_frames)]

    def _as_array(self, place: int, found: Any) -> Array:
        try:
            return np.asarray(found)
        except ValueError:  # Such as for a list of lists of different lengths.
            got = f"type {type(found).__name__}, which is no array"
            shape, _ = self._forms[place]
            raise WrongObservation(self._sentence(place, got, f"{shape}")) from None

    def _found(self, observation: Any) -> list[Any]:
        found = []
        for place, path in enumerate(self.paths):
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


def _limits_of(spec: specs.Array, num_frames: int) -> tuple[Any, Any, str] | None:
    if is_category(spec, num_frames):
        low, high = spec.minimum, spec.maximum
        return low, high, f"its specification says {low.tolist()} to {high.tolist()}"
    if spec.dtype.kind in "iu" and spec.dtype.itemsize == 8:
        # JAX would change a larger number without an error.
        narrow = np.iinfo("int32" if spec.dtype.kind == "i" else "uint32")
        rule = "networks take whole numbers of 32 bits; return it as a float"
        return narrow.min, narrow.max, rule
    return None


class WrongObservation(ValueError):
    """An environment returned an observation that breaks its spec."""
