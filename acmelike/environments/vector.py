"""K environments stepped as one, and checked against what they say of themselves."""

from __future__ import annotations

import math

import dm_env
import numpy as np
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.environments.interface import (
    EnvironmentFactory,
    Vector,
    VectorFactory,
    check_actions,
    make_environment_spec,
)
from acmelike.errors import AcmelikeError, ConfigError, EnvironmentFault
from acmelike.types import Array, EnvironmentSpec, VectorStep

_FIRST = int(dm_env.StepType.FIRST)
_MID = int(dm_env.StepType.MID)
_LAST = int(dm_env.StepType.LAST)


class VectorEnvironment:
    """K environments of one factory, stepped one after the other in one thread.

    Every array it returns is new, so an environment may reuse its own buffers.

    Args:
      factory: makes one environment from a seed.
      num_envs: K, how many to make.
      seed: the root of their seeds; the k-th gets one made from it and k.

    Attributes:
      num_envs: K.
      spec: the specs of one environment, without the leading K.

    Raises:
      ConfigError: `num_envs` is less than one, or the specs of observations and actions
        are not single arrays, or those of rewards and discounts not scalar.
    """

    def __init__(
        self, factory: EnvironmentFactory, *, num_envs: int, seed: int
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        self.num_envs = num_envs
        self._environments = [factory(_seed(seed, k)) for k in range(num_envs)]
        self.spec = _checked_spec(self._environments[0])
        self._is_over = [True] * num_envs
        # Of a step in the middle of all episodes; copies take less than new ones.
        self._step_type = np.full(num_envs, _MID, np.int8)
        self._discount = np.ones(num_envs, np.float32)

    def reset(self) -> VectorStep:
        """Begins an episode in every environment.

        Raises:
          EnvironmentFault: as from `step`.
        """
        self._is_over = [True] * self.num_envs
        return self._advance([None] * self.num_envs)

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment, or begins its next episode where the last ended.

        Args:
          actions: `[K, ...]`; ignored where an episode begins.

        Raises:
          EnvironmentFault: an environment raised, or returned what its specs or the
            order FIRST, MID, ..., LAST do not allow. The message has its index.
          TypeError: actions that are not of the kind of the action spec's dtype.
          ValueError: actions of another shape.
        """
        return self._advance(check_actions(actions, self.spec, self.num_envs))

    def close(self) -> None:
        """Closes every environment.

        Raises:
          EnvironmentFault: one or more raised; it names the first, after all were
            closed.
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
        num_envs, is_over = self.num_envs, self._is_over
        shape, dtype = self.spec.observations.shape, self.spec.observations.dtype
        step_type, discount = self._step_type.copy(), self._discount.copy()
        reward = np.zeros(num_envs, np.float32)
        observation = np.empty((num_envs, *shape), dtype)

        for k, environment in enumerate(self._environments):
            begins = is_over[k]
            try:
                timestep = (
                    environment.reset() if begins else environment.step(actions[k])
                )
            except AcmelikeError:
                raise  # Such as RpcClosed at the end of a run: no environment's fault.
            except Exception as error:
                raise _raised(k, "reset" if begins else "step", error) from error

            kind, reward_k, discount_k, o = timestep
            if begins != (kind == _FIRST):
                raise _wrong_order(k, kind, begins)
            if not isinstance(o, np.ndarray):
                o = np.asarray(o)
            # Numpy would broadcast or cast what does not fit, and say nothing.
            if o.shape != shape or o.dtype != dtype:
                raise _wrong_observation(k, o, self.spec.observations)
            observation[k] = o
            if begins:
                step_type[k], is_over[k] = _FIRST, False
                continue
            if kind == _LAST:
                step_type[k], is_over[k] = _LAST, True
            try:
                reward[k], discount[k] = reward_k, discount_k
                # Read back, as what is finite may not be so in single precision.
                is_good = math.isfinite(reward[k]) and 0 <= discount_k <= 1
            except (TypeError, ValueError):
                is_good = False
            if not is_good:
                raise _wrong_scalars(k, reward_k, discount_k)
        return VectorStep(step_type, reward, discount, observation)


def make_vector_environment(
    factory: EnvironmentFactory, *, num_envs: int, seed: int
) -> Vector:
    """K environments as one: as the factory makes them, or stepped one by one.

    Args:
      factory: makes one environment from a seed, or is one that `VectorFactory`.
      num_envs: K.
      seed: decides everything that is random in them.

    Raises:
      ConfigError: as from `VectorEnvironment`.
    """
    if isinstance(factory, VectorFactory):
        return factory.make_vector(num_envs=num_envs, seed=seed)
    return VectorEnvironment(factory, num_envs=num_envs, seed=seed)


def _seed(seed: int, k: int) -> int:
    sequence = np.random.SeedSequence(seed, spawn_key=(k,))
    return int(sequence.generate_state(1)[0])


def _checked_spec(environment: dm_env.Environment) -> EnvironmentSpec:
    spec = make_environment_spec(environment)
    for name in ("observations", "actions", "rewards", "discounts"):
        part = getattr(spec, name)
        if not isinstance(part, specs.Array):
            raise ConfigError(f"the spec of {name} is not one array but {part}")
    for name in ("rewards", "discounts"):
        shape = getattr(spec, name).shape
        if shape != ():
            raise ConfigError(f"the spec of {name} is not scalar but has shape {shape}")
    return spec


def _raised(k: int, method: str, error: Exception) -> EnvironmentFault:
    text = f"{type(error).__name__} in {method}: {error}".rstrip(": ")
    return EnvironmentFault(f"environment {k} raised {text}")


def _wrong_order(k: int, kind: int, begins: bool) -> EnvironmentFault:
    name = dm_env.StepType(kind).name
    where = "at the beginning" if begins else "in the middle"
    return EnvironmentFault(
        f"environment {k} returned a {name} step {where} of an episode"
    )


def _wrong_observation(k: int, got: Array, spec: specs.Array) -> EnvironmentFault:
    what = "shape" if got.shape != spec.shape else "dtype"
    return EnvironmentFault(
        f"environment {k} returned an observation of {what} {getattr(got, what)}, "
        f"its specification says {getattr(spec, what)}"
    )


def _wrong_scalars(k: int, reward: object, discount: object) -> EnvironmentFault:
    return EnvironmentFault(
        f"environment {k} returned reward {reward} and discount {discount}; "
        "a reward is a finite number, a discount one from 0 to 1"
    )
