"""The types of arrays: nests, time steps, transitions, and specs of environments.

Axes: `B` a batch of items, `K` the environments of one actor, `T` time. In names,
`_tm1` is the time step before `_t`: an agent that saw `o_tm1` did `a_tm1` and got
`r_t`, `discount_t` and `o_t`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import dm_env
import numpy as np
import optree
from dm_env import specs
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

# Arrays in tuples, named tuples, lists and dicts, nested as optree allows.
Nested: TypeAlias = Any
# The same nest with a `dm_env.specs.Array` in the place of every array.
NestedSpec: TypeAlias = Any


# In observations that are a dict, `[M]`: 1 for each action that is allowed, else 0.
ACTION_MASK = "action_mask"
# More categories than that, of one number or of several together, are taken as numbers.
# It is also the limit of a constant in a policy's text: `policies/numpy_text.py`.
MAX_CATEGORIES = 10_000

_LAST = int(dm_env.StepType.LAST)
# FIRST is zero; NumPy compares with zero in half the time.
assert dm_env.StepType.FIRST == 0


class MultiDiscreteArray(specs.BoundedArray):  # type: ignore[misc]  # no types
    """The spec of several categories, such as gymnasium's `MultiDiscrete`.

    Other whole numbers between bounds are numbers.
    """

    def __reduce__(self) -> Any:
        bounds = self._minimum, self._maximum
        return MultiDiscreteArray, (self._shape, self._dtype, *bounds, self._name)

    def categories(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The lowest value of each element, and how many it has; in order."""
        low, high = (  # As int64, as the number of bytes is no byte.
            np.broadcast_to(bound, self.shape).ravel().astype(np.int64)
            for bound in (self.minimum, self.maximum)
        )
        return tuple(low.tolist()), tuple((high - low + 1).tolist())


class OffsetDiscreteArray(specs.DiscreteArray):  # type: ignore[misc]  # no types
    """The spec of discrete actions that the environment counts from another number.

    Agents count them from 0, as those of other environments: a `Vector` adds the
    offset, and so does a saved policy.

    Args:
      start: what the environment calls action 0.
      num_values: the number of actions.
      dtype: of an action.
      name: of the array.
    """

    def __init__(self, start: int, num_values: int, dtype: Any, name: Any) -> None:
        super().__init__(num_values, dtype, name)
        self.start = start

    def __reduce__(self) -> Any:
        own = self.start, self._num_values, self._dtype, self._name
        return OffsetDiscreteArray, own

    def __eq__(self, other: object) -> bool:
        is_same = isinstance(other, OffsetDiscreteArray) and self.start == other.start
        return is_same and bool(super().__eq__(other))


def is_category(spec: specs.Array, num_frames: int = 1) -> bool:
    """Whether networks see an array one-hot: a category, or several of them.

    Args:
      spec: of the array.
      num_frames: F, if observations are stacks of F frames.
    """
    if isinstance(spec, MultiDiscreteArray):
        return sum(spec.categories()[1]) <= MAX_CATEGORIES
    is_one = spec.shape == () or (num_frames > 1 and len(spec.shape) == 1)
    is_bounded = isinstance(spec, specs.BoundedArray) and spec.dtype.kind in "iu"
    if not (is_one and is_bounded):
        return False
    number = int(np.max(spec.maximum)) - int(np.min(spec.minimum)) + 1
    return 0 < number <= MAX_CATEGORIES


def is_stacked(path: tuple[Any, ...]) -> bool:
    """Whether `FrameStack` stacks an array of observations: all but an action mask.

    A mask says what is allowed now, so only the newest counts.

    Args:
      path: of the array in an observation, as optree has it; () for the only one.
    """
    return path != (ACTION_MASK,)


class EnvironmentSpec(NamedTuple):
    """The specs of one environment's arrays, without a batch axis.

    Attributes:
      observations: the spec of one observation: one array, or a dict or tuple of more,
        nested as the environment nests them.
      actions: the spec of one action; discrete ones are counted from 0.
      rewards: the spec of a reward.
      discounts: the spec of a discount.
      num_frames: F if an observation is a stack of the last F frames, `[F, ...]`, as
        `FrameStack` makes them; otherwise 1. If an observation has several arrays, each
        one is such a stack, except the action mask (see `is_stacked`).
    """

    observations: NestedSpec
    actions: specs.Array
    rewards: specs.Array
    discounts: specs.Array
    num_frames: int = 1

    @property
    def mask_size(self) -> int:
        """M, the length of an action mask; 0 where actions are not discrete.

        Of several categories a mask has the values of all, one after the other.
        """
        if isinstance(self.actions, specs.DiscreteArray):
            return int(self.actions.num_values)
        if isinstance(self.actions, MultiDiscreteArray):
            return sum(self.actions.categories()[1])
        return 0

    @property
    def has_action_mask(self) -> bool:
        """Whether observations say which of the discrete actions are allowed."""
        is_dict = isinstance(self.observations, dict)
        return self.mask_size > 0 and is_dict and ACTION_MASK in self.observations

    def zero_observations(self, num_envs: int) -> Nested:
        """Observations `[K, ...]` of zeros, such as to make a network's parameters."""
        return optree.tree_map(
            lambda leaf: np.zeros((num_envs, *leaf.shape), leaf.dtype),
            self.observations,
        )


class VectorStep(NamedTuple):
    """One time step of K environments; `dm_env.TimeStep` with a leading axis.

    Attributes:
      step_type: `[K]` int8, `dm_env.StepType` values.
      reward: `[K]` float32; zero where the step is FIRST.
      discount: `[K]` float32; zero only where the episode terminated.
      observation: `[K, ...]`, nested as the spec; these arrays are never written to
        again.
    """

    step_type: Array
    reward: Array
    discount: Array
    observation: Nested

    def first(self) -> Array:
        """Whether the step is the first of an episode: `[K]` bool."""
        return np.logical_not(self.step_type)

    def last(self) -> Array:
        """Whether the step is the last of an episode: `[K]` bool."""
        return np.equal(self.step_type, _LAST)

    def any_last(self) -> bool:
        """Whether `last` is true of any environment; it takes a third of the time."""
        return _LAST in self.step_type.tobytes()  # Other step types have no such byte.

    def num_env_steps(self) -> int:
        """How many of the K environments took a step; the others started an episode."""
        return int(np.count_nonzero(self.step_type))


class Transition(NamedTuple):
    """One step of an agent, or n steps joined; every field has a leading `[B]`.

    Attributes:
      o_tm1: `[B, ...]` the observation that was acted on.
      a_tm1: `[B, ...]` the action.
      r_t: `[B]` float32, the rewards of the n steps, discounted to the first of them.
      discount_t: `[B]` float32, the factor of the value of `o_t`: the product of the
        agent's and the environment's discounts over the n steps, zero after
        termination.
      o_t: `[B, ...]` the observation n steps later.
      version: `[B]` int64, the version of the parameters that chose `a_tm1`.
      extras: by name, `[B, ...]` other outputs of the policy for `o_tm1`.
    """

    o_tm1: Nested
    a_tm1: Nested
    r_t: Nested
    discount_t: Nested
    o_t: Nested
    version: Nested
    extras: Nested = ()


class Versioned(NamedTuple):
    """Parameters, and their version: the number of learner updates before them."""

    version: int
    parameters: Nested
