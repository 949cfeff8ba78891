"""The interface of environments: factories, vectors of environments, and specs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import dm_env
import numpy as np
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.environments.nests import plain
from acmelike.environments.wrappers.wrapper import num_stacked_frames
from acmelike.errors import ConfigError
from acmelike.types import Array, EnvironmentSpec, OffsetDiscreteArray, VectorStep


class EnvironmentFactory(Protocol):
    """Makes environments that differ in their seed; can be pickled."""

    def __call__(self, seed: int) -> dm_env.Environment:
        """Makes one environment.

        Args:
          seed: of everything that is random in the environment.
        """


class Vector(Protocol):
    """K environments that are stepped together.

    Attributes:
      num_envs: K.
      spec: of one environment, without the leading axis of K.
    """

    num_envs: int
    spec: EnvironmentSpec

    def reset(self) -> VectorStep:
        """Starts an episode in every environment."""

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment; one whose episode has ended starts the next one.

        Args:
          actions: `[K, ...]`; discrete actions are counted from 0. Those of
            environments that start an episode are ignored.
        """

    def close(self) -> None:
        """Closes the environments."""


@runtime_checkable
class VectorFactory(Protocol):
    """An `EnvironmentFactory` that can also make K environments as one `Vector`."""

    def make_vector(self, *, num_envs: int, seed: int) -> Vector:
        """Makes K environments.

        Args:
          num_envs: K.
          seed: of everything that is random in them.
        """


class ChecksItself:
    """Base of vectors that check what their environments return, as acmelike's do.

    `make_vector_environment` wraps every other vector, and checks its steps.
    """


def refuse_vectors(factory: EnvironmentFactory, why: str) -> None:
    """Refuses a factory that makes K environments as one vector.

    Args:
      factory: of environments.
      why: the message, with what to do instead.

    Raises:
      ConfigError: the factory makes vectors.
    """
    if isinstance(factory, VectorFactory):
        raise ConfigError(why)


@runtime_checkable
class Renderable(Protocol):
    """An environment that can draw itself."""

    def render(self) -> Any:
        """A picture of its state, `[H, W, 3]` uint8 or floats in 0..1."""


@runtime_checkable
class RenderingFactory(Protocol):
    """A factory whose environments draw themselves only if made by `make_rendering`."""

    def make_rendering(self, seed: int) -> dm_env.Environment:
        """Makes one environment that can draw itself."""


def make_rendering(factory: EnvironmentFactory, seed: int) -> dm_env.Environment:
    """Makes one environment; it can draw itself if the factory supports that."""
    if isinstance(factory, RenderingFactory):
        return factory.make_rendering(seed)
    return factory(seed)


# The error of a factory that returns the same environment to several actors.
SAME_AGAIN = (
    "the environment factory returned the same environment again, and each actor needs "
    "its own: make a new one in every call, such as lambda: gymnasium.make(...)"
)
# A network has one output for each discrete action.
_MAX_ACTIONS = 2**16


def make_environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    """Collects the specs of an environment."""
    return EnvironmentSpec(
        observations=plain(environment.observation_spec()),
        actions=discrete_if_counted(environment.action_spec()),
        rewards=environment.reward_spec(),
        discounts=environment.discount_spec(),
        num_frames=num_stacked_frames(environment),
    )


def discrete_if_counted(spec: specs.Array) -> specs.Array:
    """Turns the spec of one bounded whole number into that of a discrete action."""
    is_plain = type(spec) is specs.BoundedArray and spec.shape == ()
    if not is_plain or spec.dtype.kind not in "iu":
        return spec
    first = int(spec.minimum)
    num_values = int(spec.maximum) - first + 1
    if num_values > _MAX_ACTIONS:  # Such as with the bounds of int32.
        return spec
    # Counted from 0, the 256 numbers of an int8 need more bits.
    dtype = spec.dtype if num_values - 1 <= np.iinfo(spec.dtype).max else np.int64
    if first == 0:
        return specs.DiscreteArray(num_values, dtype, spec.name)
    return OffsetDiscreteArray(first, num_values, dtype, spec.name)


def check_actions(
    actions: ArrayLike,
    spec: EnvironmentSpec,
    num_envs: int,
    is_ignored: Sequence[bool] | Array | None = None,
) -> Array:
    """Checks actions `[K, ...]`; returns a copy in the environment's dtype and range.

    Continuous actions outside of their bounds are clipped to the bounds.

    Args:
      actions: of a policy.
      spec: of one environment.
      num_envs: K.
      is_ignored: `[K]`, whether an action is ignored because its environment starts an
        episode; such an action may be out of range. None if no action is ignored.

    Raises:
      TypeError: the actions cannot be cast to this dtype without changing their kind.
      ValueError: their shape differs from the spec, a discrete one is not in its range,
        or a number in them is NaN.
    """
    given, wanted = np.asarray(actions), spec.actions
    # They are copied because an environment may clip its action in place.
    owned = given.astype(wanted.dtype, casting="same_kind")
    if owned.shape != (shape := (num_envs, *wanted.shape)):
        raise ValueError(
            f"actions have the shape {owned.shape}, "
            f"{num_envs} environments need {shape}"
        )
    is_bounded = isinstance(wanted, specs.BoundedArray)
    if owned.dtype.kind == "f":
        if np.isnan(owned).any():
            raise ValueError("actions have nan: the policy returned it")
        if is_bounded:
            owned.clip(wanted.minimum, wanted.maximum, out=owned)
    elif is_bounded and owned.dtype.kind in "iu":
        low, high = wanted.minimum, wanted.maximum
        # Before the cast: in 8 bits, 300 would be another number.
        is_outside = (given < low) | (given > high)
        if np.count_nonzero(is_outside):
            limits = f"{low.tolist()} to {high.tolist()}"
            _refuse_outside(given, is_outside, is_ignored, limits)
        if isinstance(wanted, OffsetDiscreteArray):
            owned += wanted.start
    return owned


def _refuse_outside(
    actions: Array,
    is_outside: Array,
    is_ignored: Sequence[bool] | Array | None,
    limits: str,
) -> None:
    wrong = [
        actions[k].tolist()
        for k in np.unique(np.argwhere(is_outside)[:, 0])
        if is_ignored is None or not is_ignored[k]
    ]
    if wrong:
        raise ValueError(
            f"actions are from {limits}, not {wrong}: the policy returned them"
        )
