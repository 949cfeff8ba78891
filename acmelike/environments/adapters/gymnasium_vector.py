"""Adapts vectorised environments of Gymnasium, which computes K of them at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from dm_env import StepType, specs
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike

from acmelike.environments.adapters.gymnasium import (
    GymnasiumFactory,
    make_action_spec,
    make_gymnasium_factory,
    make_observation_spec,
    register_package_of,
)
from acmelike.environments.interface import ChecksItself, check_actions
from acmelike.environments.nests import Leaves, WrongObservation
from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import AcmelikeError, ConfigError, EnvironmentFault, first_line
from acmelike.types import EnvironmentSpec, Nested, VectorStep


class GymnasiumVector(ChecksItself):
    """A `gymnasium.vector.VectorEnv` as a `Vector`.

    The autoreset mode must be `NEXT_STEP`, Gymnasium's default: the step after the last
    one of an episode ignores the action and starts the next episode.

    Args:
      env: K environments with spaces that `GymnasiumEnvironment` takes; `close` closes
        them.
      seed: passed to the first `reset` only. The K environments share one random
        stream, so an episode depends on K. None if `env` has been seeded already.

    Attributes:
      num_envs: K.
      spec: of one environment, without the leading axis of K.

    Raises:
      ConfigError: a space is of another kind, or the autoreset mode is another one.
    """

    def __init__(
        self, env: gymnasium.vector.VectorEnv[Any, Any, Any], *, seed: int | None
    ):
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.NEXT_STEP:
            raise ConfigError(
                f"its autoreset mode must be {AutoresetMode.NEXT_STEP}, not {mode}"
            )
        self.num_envs = env.num_envs
        self.spec = EnvironmentSpec(
            observations=make_observation_spec(env.single_observation_space),
            actions=make_action_spec(env.single_action_space),
            rewards=specs.Array((), np.float32, "reward"),
            # The default of `dm_env.Environment.discount_spec`.
            discounts=specs.BoundedArray((), float, 0.0, 1.0, "discount"),
        )
        self._env = env
        # Gymnasium takes no integers of NumPy.
        self._seed = None if seed is None else int(seed)
        self._has_begun = False
        self._is_over = np.zeros(self.num_envs, bool)
        self._leaves = Leaves(self.spec.observations)
        # Steps so far, and how many there were when each episode began.
        self._num_steps, self._begins = 0, np.zeros(self.num_envs, int)

    def reset(self) -> VectorStep:
        """Starts an episode in every environment; the first reset seeds them.

        Raises:
          EnvironmentFault: as `step`.
        """
        seed = {} if self._seed is None else {"seed": self._seed}
        self._seed = None
        observation, _ = _call("reset", self._env.reset, **seed)
        self._has_begun = True
        self._is_over = np.zeros(self.num_envs, bool)
        self._begins[:] = self._num_steps
        return VectorStep(
            np.full(self.num_envs, int(StepType.FIRST), np.int8),
            np.zeros(self.num_envs, np.float32),
            np.ones(self.num_envs, np.float32),
            self._owned(observation),
        )

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment; one whose episode has ended starts the next one.

        Args:
          actions: `[K, ...]`; ignored for environments that start an episode.

        Raises:
          EnvironmentFault: the environments raised, or returned arrays that break their
            spaces or the order of steps in an episode.
          TypeError: the actions are not of the kind of the action spec's dtype.
          ValueError: the shape of the actions differs from the spec, or a discrete one
            is not in its range.
        """
        is_ignored = self._is_over if self._has_begun else np.ones(self.num_envs, bool)
        owned = check_actions(actions, self.spec, self.num_envs, is_ignored)
        if not self._has_begun:
            return self.reset()
        observation, *others, _ = _call("step", self._env.step, owned)
        reward, terminated, truncated = map(np.asarray, others)
        named = {"reward": reward, "terminated": terminated, "truncated": truncated}
        for name, array in named.items():
            if array.shape != (self.num_envs,):
                raise EnvironmentFault(
                    f"the environments returned {name} of shape {array.shape}, not "
                    f"{(self.num_envs,)}"
                )
        begins, ends = self._is_over, terminated | truncated
        if (begins & ends).any():
            k = int(np.argmax(begins & ends))
            raise EnvironmentFault(
                f"environment {k} ended an episode in the step that began it"
            )
        reward = np.where(begins, 0.0, reward).astype(np.float32)
        if not np.isfinite(reward).all():
            k = int(np.argmin(np.isfinite(reward)))
            raise EnvironmentFault(
                f"environment {k} returned reward {reward[k]}; a reward is finite"
            )
        self._is_over = ends
        self._num_steps += 1
        self._begins[begins] = self._num_steps
        kind = np.where(ends, int(StepType.LAST), int(StepType.MID))
        return VectorStep(
            np.where(begins, int(StepType.FIRST), kind).astype(np.int8),
            reward,
            1.0 - terminated.astype(np.float32),
            self._owned(observation),
        )

    def close(self) -> None:
        """Closes the environments.

        Raises:
          EnvironmentFault: the environments raised.
        """
        _call("close", self._env.close)

    def _owned(self, observation: Any) -> Nested:
        """Copies observations `[K, ...]`, after a check against the spec."""
        try:
            arrays = self._leaves.of(observation, self.num_envs)
        except WrongObservation as wrong:
            raise EnvironmentFault(f"the environments returned {wrong}") from None
        self._leaves.check_finite(arrays, self._num_steps, self._begins)
        return self._leaves.joined([np.array(array, order="C") for array in arrays])


@dataclass(frozen=True, kw_only=True)
class GymnasiumVectorFactory(GymnasiumFactory):
    """A `VectorFactory` of a registered environment with a vectorised version."""

    def make_vector(self, *, num_envs: int, seed: int) -> GymnasiumVector:
        """Makes K environments.

        Raises:
          ConfigError: `num_envs` is less than 1, there is no vectorised version, or
            `GymnasiumVector` refuses it.
        """
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        register_package_of(self.name)
        module, _, registered = self.name.rpartition(":")
        if module:
            importlib.import_module(module)
        if gymnasium.spec(registered).vector_entry_point is None:
            raise ConfigError("it has no vectorised version: leave out 'vec:'")
        mode = "vector_entry_point"
        env = gymnasium.make_vec(
            registered, num_envs, vectorization_mode=mode, **dict(self.arguments)
        )
        return wrapped(env, partial(GymnasiumVector, seed=seed))


def make_gymnasium_vector_factory(
    name: str, *, arguments: Mapping[str, Any] = {}
) -> GymnasiumVectorFactory:
    """Makes a factory, and both versions of the environment as a check.

    Args:
      name: an id in Gymnasium's registry, or "module:id".
      arguments: of the constructors of both.

    Raises:
      ConfigError: as `make_gymnasium_factory`; or there is no vectorised version, or
        its specs differ from those of the single environment.
    """
    single = make_gymnasium_factory(name, arguments=arguments)(seed=0)
    single.close()
    factory = GymnasiumVectorFactory(name=name, arguments=tuple(arguments.items()))
    try:
        vector = factory.make_vector(num_envs=2, seed=0)
        vector.close()
    except ConfigError as error:
        raise ConfigError(f"environment 'vec:{name}': {error}") from None
    except (Exception, SystemExit) as error:
        reason = first_line(error)
        raise ConfigError(
            f"the vectorised version of '{name}' cannot be made: {reason}"
        ) from error
    for what, one, other in (
        ("observations", single.observation_spec(), vector.spec.observations),
        ("actions", single.action_spec(), vector.spec.actions),
    ):
        if one != other:
            raise ConfigError(
                f"the vectorised version of '{name}' has other {what}: {other}, "
                f"not {one}"
            )
    return factory


def _call(method: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a method of the environments; turns its errors into `EnvironmentFault`."""
    try:
        return call(*args, **kwargs)
    except AcmelikeError:
        raise
    except Exception as error:
        text = f"{type(error).__name__} in {method}: {error}".rstrip(": ")
        raise EnvironmentFault(f"the environments raised {text}") from error
