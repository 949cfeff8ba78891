"""Gymnasium's vectorised environments: K of them computed at once, not one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from dm_env import StepType, specs
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike

from acmelike.environments.adapters.gymnasium import (
    GymnasiumFactory,
    make_gymnasium_factory,
    make_spec,
    register_package_of,
)
from acmelike.environments.interface import check_actions
from acmelike.errors import AcmelikeError, ConfigError, EnvironmentFault
from acmelike.types import Array, EnvironmentSpec, VectorStep


class GymnasiumVector:
    """A `gymnasium.vector.VectorEnv` as a `Vector`.

    It has to begin an episode in the step after the one that ended the last, ignoring
    the action, which is Gymnasium's default and `NEXT_STEP` to it.

    Args:
      env: K environments, which `close` closes; spaces are Discrete from 0 or Box.
      seed: given to its first `reset` only; all K draw from it, so what one of them
        does depends on how many there are. None if they were made with one.

    Attributes:
      num_envs: K.
      spec: the specs of one environment, without the leading K.

    Raises:
      ConfigError: a space of another kind, or episodes that begin in another step.
    """

    def __init__(
        self, env: gymnasium.vector.VectorEnv[Any, Any, Any], *, seed: int | None
    ):
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.NEXT_STEP:
            raise ConfigError(
                f"it has to reset in the step after an episode's last, not {mode}"
            )
        self.num_envs = env.num_envs
        self.spec = EnvironmentSpec(
            observations=make_spec(env.single_observation_space, "observation"),
            actions=make_spec(env.single_action_space, "action"),
            rewards=specs.Array((), np.float32, "reward"),
            # As a dm_env.Environment says that says nothing of it.
            discounts=specs.BoundedArray((), float, 0.0, 1.0, "discount"),
        )
        self._env = env
        self._seed = seed
        self._has_begun = False
        self._is_over = np.zeros(self.num_envs, bool)

    def reset(self) -> VectorStep:
        """Begins an episode in every environment; the first reset seeds them.

        Raises:
          EnvironmentFault: as from `step`.
        """
        seed = {} if self._seed is None else {"seed": self._seed}
        self._seed = None
        observation, _ = _told("reset", self._env.reset, **seed)
        self._has_begun = True
        self._is_over = np.zeros(self.num_envs, bool)
        return VectorStep(
            np.full(self.num_envs, int(StepType.FIRST), np.int8),
            np.zeros(self.num_envs, np.float32),
            np.ones(self.num_envs, np.float32),
            self._owned(observation),
        )

    def step(self, actions: ArrayLike) -> VectorStep:
        """Steps every environment, or begins its next episode where the last ended.

        Args:
          actions: `[K, ...]`; ignored where an episode begins.

        Raises:
          EnvironmentFault: they raised, or returned what their spaces or the order of
            episodes do not allow.
          TypeError: actions that are not of the kind of the action spec's dtype.
          ValueError: actions of another shape.
        """
        owned = check_actions(actions, self.spec, self.num_envs)
        if not self._has_begun:
            return self.reset()
        observation, *others, _ = _told("step", self._env.step, owned)
        reward, terminated, truncated = map(np.asarray, others)
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
          EnvironmentFault: they raised.
        """
        _told("close", self._env.close)

    def _owned(self, observation: Any) -> Array:
        """Observations `[K, ...]` that nobody writes to again, if they are as said."""
        spec, got = self.spec.observations, np.array(observation, order="C")
        if got.shape != (self.num_envs, *spec.shape) or got.dtype != spec.dtype:
            raise EnvironmentFault(
                f"the environments returned observations {got.shape} {got.dtype}, "
                f"their specification says {(self.num_envs, *spec.shape)} {spec.dtype}"
            )
        return got


@dataclass(frozen=True, kw_only=True)
class GymnasiumVectorFactory(GymnasiumFactory):
    """Makes a registered environment that has a vectorised version; `VectorFactory`."""

    def make_vector(self, *, num_envs: int, seed: int) -> GymnasiumVector:
        """Makes K environments as one.

        Raises:
          ConfigError: `num_envs` is less than one, or there is no vectorised version
            that keeps to `GymnasiumVector`.
        """
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        register_package_of(self.name)
        if gymnasium.spec(self.name).vector_entry_point is None:
            raise ConfigError(
                f"environment '{self.name}' has no vectorised version: leave out 'vec:'"
            )
        env = gymnasium.make_vec(
            self.name, num_envs, vectorization_mode="vector_entry_point"
        )
        return GymnasiumVector(env, seed=seed)


def make_gymnasium_vector_factory(name: str) -> GymnasiumVectorFactory:
    """A factory that is known to work: it has made both versions and closed them.

    Args:
      name: an id in gymnasium's registry, or `module:id`.

    Raises:
      ConfigError: as from `make_gymnasium_factory`; or there is no vectorised version;
        or it is not of the same kind of environment.
    """
    single = make_gymnasium_factory(name)(seed=0)
    single.close()
    factory = GymnasiumVectorFactory(name=name)
    try:
        vector = factory.make_vector(num_envs=2, seed=0)
        vector.close()
    except ConfigError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
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


def _told(method: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns; what it raises becomes a fault of the environments."""
    try:
        return call(*args, **kwargs)
    except AcmelikeError:
        raise
    except Exception as error:
        text = f"{type(error).__name__} in {method}: {error}".rstrip(": ")
        raise EnvironmentFault(f"the environments raised {text}") from error
