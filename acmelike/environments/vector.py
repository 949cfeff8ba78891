"""Steps K environments as one, and checks them against their specs."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from functools import partial
from typing import Any

import dm_env
import numpy as np
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.environments.interface import (
    SAME_AGAIN,
    ChecksItself,
    EnvironmentFactory,
    Vector,
    VectorFactory,
    check_actions,
    make_environment_spec,
)
from acmelike.environments.nests import (
    Leaves,
    WrongObservation,
    check_observation_spec,
    plain,
)
from acmelike.environments.place import making_environment
from acmelike.environments.wrappers.wrapper import innermost, wrapped
from acmelike.errors import AcmelikeError, ConfigError, EnvironmentFault
from acmelike.types import Array, EnvironmentSpec, VectorStep

logger = logging.getLogger("acmelike")

_FIRST = int(dm_env.StepType.FIRST)
_MID = int(dm_env.StepType.MID)
_LAST = int(dm_env.StepType.LAST)
# Most steps are MID, which is compared first.
_STEP_TYPES = (dm_env.StepType.MID, dm_env.StepType.LAST, dm_env.StepType.FIRST)


class VectorEnvironment(ChecksItself):
    """A `Vector` of K environments, stepped one after the other in one thread.

    All returned arrays are new, so an environment may reuse its own buffers.

    Args:
      factory: makes one environment from a seed.
      num_envs: K.
      seed: the seed of environment k is derived from it and k.
      max_restarts: how often, in all, an environment that raised is replaced by a new
        one with another seed. Its unfinished episode is discarded, so a FIRST step may
        follow a step that is not LAST.

    Attributes:
      num_envs: K.
      spec: of one environment, without the leading axis of K.

    Raises:
      ConfigError: `num_envs` is less than 1, the factory returns the same environment
        twice, or as `checked_environment_spec`.
    """

    def __init__(
        self,
        factory: EnvironmentFactory,
        *,
        num_envs: int,
        seed: int,
        max_restarts: int = 0,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        self.num_envs = num_envs
        self._factory, self._given_seed = factory, seed
        self._max_restarts, self._num_restarts = max_restarts, 0
        self._environments: list[dm_env.Environment] = []
        try:
            for k in range(num_envs):
                self._environments.append(self._made(k))
            self.spec = checked_environment_spec(self._environments[0])
            self._leaves = Leaves(self.spec.observations, self.spec.num_frames)
        except BaseException:
            with suppress(EnvironmentFault):
                self.close()
            raise
        self._is_over = [True] * num_envs
        # Steps so far, and how many there were when each episode began.
        self._num_steps, self._begins = -1, [0] * num_envs
        # The arrays of a step in the middle of all episodes: copying them is faster
        # than making them.
        self._step_type = np.full(num_envs, _MID, np.int8)
        self._discount = np.ones(num_envs, np.float32)

    def reset(self) -> VectorStep:
        """Starts an episode in every environment.

        Raises:
          EnvironmentFault: as `step`.
        """
        self._is_over = [True] * self.num_envs
        return self._advance([None] * self.num_envs)

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment; one whose episode has ended starts the next one.

        Args:
          actions: `[K, ...]`; ignored for environments that start an episode.

        Raises:
          EnvironmentFault: an environment raised, and no restart is left; or it
            returned a time step that breaks its specs or the order FIRST, MID, ...,
            LAST. The message has the index of the environment.
          TypeError: the actions are not of the kind of the action spec's dtype.
          ValueError: the shape of the actions differs from the spec, or a discrete one
            is not in its range.
        """
        owned = check_actions(actions, self.spec, self.num_envs, self._is_over)
        return self._advance(owned)

    def close(self) -> None:
        """Closes every environment.

        Raises:
          EnvironmentFault: some raised. All are closed first; the message has the
            index of the first.
        """
        faults: list[tuple[EnvironmentFault, Exception]] = []
        for k, environment in enumerate(self._environments):
            try:
                environment.close()
            except Exception as error:
                faults.append((_raised(k, "close", error), error))
        if faults:
            fault, cause = faults[0]
            raise fault from cause

    def _advance(self, actions: Array | list[None]) -> VectorStep:
        num_envs, is_over, leaves = self.num_envs, self._is_over, self._leaves
        step_type, discount = self._step_type.copy(), self._discount.copy()
        reward = np.zeros(num_envs, np.float32)
        observation = leaves.empty(num_envs)
        first_array = observation[0]
        shape, dtype = leaves.only or (None, None)
        self._num_steps += 1

        for k, environment in enumerate(self._environments):
            begins = is_over[k]
            try:
                timestep = (
                    environment.reset() if begins else environment.step(actions[k])
                )
            except AcmelikeError:
                raise  # An error of acmelike, such as RpcClosed when a run ends.
            except WrongObservation as wrong:  # From a wrapper, such as `FrameStack`.
                raise _wrong_observation(k, wrong) from None
            except Exception as error:
                fault = _raised(k, "reset" if begins else "step", error)
                timestep, begins = self._restarted(k, fault, error), True

            try:
                kind, reward_k, discount_k, o = timestep
                is_known = kind in _STEP_TYPES
            except (TypeError, ValueError):
                raise EnvironmentFault(
                    f"environment {k} returned {type(timestep).__name__} of "
                    f"{'reset' if begins else 'step'}, which is no dm_env.TimeStep"
                ) from None
            if not is_known:
                raise _unknown_step_type(k, kind)
            if begins != (kind == _FIRST):
                raise _wrong_order(k, kind, begins)
            # NumPy would broadcast or cast a wrong observation without an error.
            if type(o) is np.ndarray and o.shape == shape and o.dtype == dtype:
                first_array[k] = o  # The usual case: one valid array.
            else:
                try:
                    arrays = leaves.of(o)
                except WrongObservation as wrong:
                    raise _wrong_observation(k, wrong) from None
                for of_all, array in zip(observation, arrays, strict=True):
                    of_all[k] = array
            if begins:
                step_type[k], is_over[k] = _FIRST, False
                self._begins[k] = self._num_steps
                continue
            if kind == _LAST:
                step_type[k], is_over[k] = _LAST, True
            try:
                reward[k], discount[k] = reward_k, discount_k
                # The float32 value is checked: casting can turn a finite number into
                # an infinity.
                is_good = math.isfinite(reward[k]) and 0 <= discount_k <= 1
            except (TypeError, ValueError):
                is_good = False
            if not is_good:
                raise _wrong_scalars(k, reward_k, discount_k)
        leaves.check_finite(observation, self._num_steps, self._begins)
        return VectorStep(step_type, reward, discount, leaves.joined(observation))

    def _made(self, k: int, *restart: int) -> dm_env.Environment:
        with making_environment(vector_index=k):
            made = self._factory(_seed(self._given_seed, k, *restart))
        inside = innermost(made)
        # The one that it replaces is closed, so the factory may return it again.
        others = [*self._environments[:k], *self._environments[k + 1 :]]
        if any(inside is innermost(other) for other in others):
            raise ConfigError(SAME_AGAIN)
        return made

    def _restarted(
        self, k: int, fault: EnvironmentFault, cause: Exception
    ) -> dm_env.TimeStep:
        """Replaces an environment that has failed by a new one; returns its first step.

        If the new one fails too, it is also replaced, as long as a restart is left.

        Raises:
          EnvironmentFault: no restart is left; this is the last fault, with its cause.
        """
        while self._num_restarts < self._max_restarts:
            self._num_restarts += 1
            logger.warning(
                "%s; it is made again (%s of %s), and its unfinished episode is "
                "dropped",
                *(fault, self._num_restarts, self._max_restarts),
            )
            with suppress(Exception):  # A broken environment may fail to close.
                self._environments[k].close()
            try:
                self._environments[k] = self._made(k, self._num_restarts)
                return self._environments[k].reset()
            except AcmelikeError:
                raise
            except WrongObservation as wrong:
                raise _wrong_observation(k, wrong) from None
            except Exception as error:
                fault, cause = _raised(k, "restart", error), error
        raise fault from cause


class OwnVector:
    """A `Vector` around one of a user's own, whose steps it checks.

    A FIRST step gets reward 0 and discount 1. A FIRST step in the middle of an episode
    is allowed, as its environment may have been restarted. All returned arrays are new,
    so the vector may reuse its own buffers.

    Args:
      vector: K environments; `close` closes them.

    Attributes:
      num_envs: K.
      spec: of one environment, without the leading axis of K.

    Raises:
      ConfigError: the vector has a spec that `checked_environment_spec` refuses.
    """

    def __init__(self, vector: Vector) -> None:
        self.num_envs = num_envs = vector.num_envs
        observations = plain(vector.spec.observations)
        self.spec = _checked_spec(vector.spec._replace(observations=observations))
        self._vector = vector
        self._leaves = Leaves(self.spec.observations, self.spec.num_frames)
        self._is_over: Array = np.ones(num_envs, bool)
        # Steps so far, and how many there were when each episode began.
        self._num_steps, self._begins = -1, np.zeros(num_envs, int)

    def reset(self) -> VectorStep:
        """Starts an episode in every environment.

        Raises:
          EnvironmentFault: as `step`.
        """
        self._is_over[:] = True
        return self._checked("reset", self._vector.reset())

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment; one whose episode has ended starts the next one.

        Args:
          actions: `[K, ...]`; ignored for environments that start an episode.

        Raises:
          EnvironmentFault: the vector returned something other than a `VectorStep`, or
            arrays that break its spec or the order FIRST, MID, ..., LAST.
        """
        return self._checked("step", self._vector.step(actions))

    def close(self) -> None:
        """Closes the environments."""
        self._vector.close()

    def _checked(self, method: str, step: Any) -> VectorStep:
        try:
            kinds, rewards, discounts, observation = step
        except (TypeError, ValueError):
            raise EnvironmentFault(
                f"the environments returned {type(step).__name__} of {method}, which "
                f"is no VectorStep"
            ) from None
        step_type = self._one_each("step_type", kinds, "iu")
        is_first = step_type == _FIRST
        is_unknown = ~(is_first | (step_type == _MID) | (step_type == _LAST))
        if is_unknown.any():
            k = int(np.argmax(is_unknown))
            raise _unknown_step_type(k, step_type[k])
        is_late = self._is_over & ~is_first
        if is_late.any():
            k = int(np.argmax(is_late))
            raise _wrong_order(k, int(step_type[k]), begins=True)
        self._is_over = step_type == _LAST
        self._num_steps += 1
        self._begins[is_first] = self._num_steps

        reward = np.where(is_first, 0, self._one_each("reward", rewards, "fiub"))
        discount = np.where(is_first, 1, self._one_each("discount", discounts, "fiub"))
        with np.errstate(over="ignore"):  # The cast may overflow to infinity.
            reward = reward.astype(np.float32)
        is_bad = ~(np.isfinite(reward) & (discount >= 0) & (discount <= 1))
        if is_bad.any():
            k = int(np.argmax(is_bad))
            raise _wrong_scalars(k, reward[k], discount[k])
        try:
            arrays = self._leaves.of(observation, self.num_envs)
        except WrongObservation as wrong:
            raise EnvironmentFault(f"the environments returned {wrong}") from None
        self._leaves.check_finite(arrays, self._num_steps, self._begins)
        return VectorStep(
            step_type.astype(np.int8),
            reward,
            discount.astype(np.float32),
            self._leaves.joined([np.array(array, order="C") for array in arrays]),
        )

    def _one_each(self, name: str, values: Any, kinds: str) -> Array:
        """Numbers `[K]` of a step, whose dtype is of one of these kinds."""
        array = np.asarray(values)
        if array.shape != (self.num_envs,) or array.dtype.kind not in kinds:
            raise EnvironmentFault(
                f"the environments returned {name} of shape {array.shape} and dtype "
                f"{array.dtype}, which is not one number for each of {self.num_envs} "
                f"environments"
            )
        return array


def make_vector_environment(
    factory: EnvironmentFactory, *, num_envs: int, seed: int
) -> Vector:
    """Makes K environments as one `Vector`.

    Args:
      factory: a `VectorFactory` makes the vector itself, whose steps are checked;
        environments of any other factory are stepped one after the other.
      num_envs: K.
      seed: of everything that is random in them.

    Raises:
      ConfigError: as `VectorEnvironment`; or the vector of a `VectorFactory` has not
        K environments.
    """
    if isinstance(factory, VectorFactory):
        vector = factory.make_vector(num_envs=num_envs, seed=seed)
        return wrapped(vector, partial(_checked_vector, num_envs=num_envs))
    return VectorEnvironment(factory, num_envs=num_envs, seed=seed)


def _checked_vector(vector: Vector, *, num_envs: int) -> Vector:
    """Checks the number of environments; wraps a vector that does not check itself."""
    if vector.num_envs != num_envs:
        raise ConfigError(
            f"make_vector returned {vector.num_envs} environments, not {num_envs}"
        )
    return vector if isinstance(vector, ChecksItself) else OwnVector(vector)


def _seed(seed: int, *place: int) -> int:
    sequence = np.random.SeedSequence(seed, spawn_key=place)
    return int(sequence.generate_state(1)[0])


def checked_environment_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    """Collects the specs of an environment, and checks that they are as agents need.

    Raises:
      ConfigError: as `check_observation_spec`; or the spec of actions, rewards or
        discounts is not one array, actions are empty, or the others are not scalar.
    """
    return _checked_spec(make_environment_spec(environment))


def _checked_spec(spec: EnvironmentSpec) -> EnvironmentSpec:
    check_observation_spec(spec.observations)
    for name in ("actions", "rewards", "discounts"):
        part = getattr(spec, name)
        if not isinstance(part, specs.Array):
            raise ConfigError(f"the spec of {name} is not one array but {part}")
    if math.prod(spec.actions.shape) == 0:
        raise ConfigError(f"the spec of actions has no numbers: {spec.actions}")
    for name in ("rewards", "discounts"):
        shape = getattr(spec, name).shape
        if shape != ():
            raise ConfigError(f"the spec of {name} is not scalar but has shape {shape}")
    return spec


def _raised(k: int, method: str, error: Exception) -> EnvironmentFault:
    text = f"{type(error).__name__} in {method}: {error}".rstrip(": ")
    return EnvironmentFault(f"environment {k} raised {text}")


def _wrong_observation(k: int, wrong: WrongObservation) -> EnvironmentFault:
    return EnvironmentFault(f"environment {k} returned {wrong}")


def _unknown_step_type(k: int, kind: object) -> EnvironmentFault:
    return EnvironmentFault(
        f"environment {k} returned the step type {kind}, which is not FIRST, MID or "
        f"LAST"
    )


def _wrong_order(k: int, kind: int, begins: bool) -> EnvironmentFault:
    name = dm_env.StepType(kind).name
    where = "at the beginning" if begins else "in the middle"
    return EnvironmentFault(
        f"environment {k} returned a {name} step {where} of an episode"
    )


def _wrong_scalars(k: int, reward: object, discount: object) -> EnvironmentFault:
    return EnvironmentFault(
        f"environment {k} returned reward {reward} and discount {discount}; "
        "a reward is a finite number, a discount one from 0 to 1"
    )
