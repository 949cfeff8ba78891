"""Adapts environments of EnvPool, which computes K of them at once in C++ threads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, cast

import dm_env
import optree
from dm_env import specs

from acmelike.environments.adapters.gymnasium_vector import GymnasiumVector
from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import ConfigError, first_line, nearest
from acmelike.types import NestedSpec, OffsetDiscreteArray, VectorStep


@dataclass(frozen=True, kw_only=True)
class EnvpoolFactory:
    """A `VectorFactory` of an environment of EnvPool.

    Attributes:
      name: one of `envpool.list_all_envs()`.
    """

    name: str

    def __call__(self, seed: int) -> SingleEnvironment:
        return SingleEnvironment(self.make_vector(num_envs=1, seed=seed))

    def make_vector(self, *, num_envs: int, seed: int) -> GymnasiumVector:
        """Makes K environments.

        Raises:
          ConfigError: `num_envs` is less than 1.
        """
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
        envpool = _import_envpool()
        with warnings.catch_warnings():
            # Gymnasium warns that bounds, as EnvPool gives them, lose precision.
            warnings.simplefilter("ignore", UserWarning)
            # EnvPool takes a seed of 31 bits, and takes it only here.
            env = envpool.make(
                self.name, env_type="gymnasium", num_envs=num_envs, seed=seed % 2**31
            )
            return wrapped(env, partial(GymnasiumVector, seed=None))


class SingleEnvironment(dm_env.Environment):  # type: ignore[misc]  # no types
    """The only environment of a vector, as a `dm_env.Environment`.

    Args:
      vector: of one environment; `close` closes it.
    """

    def __init__(self, vector: GymnasiumVector) -> None:
        self._vector = vector

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        return _first_of(self._vector.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step; after a LAST step, starts an episode instead."""
        spec = self._vector.spec.actions
        if isinstance(spec, OffsetDiscreteArray):  # A vector counts actions from 0.
            action = action - spec.start
        return _first_of(self._vector.step([action]))

    def observation_spec(self) -> NestedSpec:
        """The observation space, with its dtypes and bounds."""
        return self._vector.spec.observations

    def action_spec(self) -> specs.Array:
        """The action space, with its dtype and bounds."""
        return self._vector.spec.actions

    def reward_spec(self) -> specs.Array:
        """A float32 scalar."""
        return self._vector.spec.rewards

    def close(self) -> None:
        """Closes the vector."""
        self._vector.close()


def make_envpool_factory(name: str) -> EnvpoolFactory:
    """Makes a factory, and one environment with it as a check.

    Args:
      name: one of `envpool.list_all_envs()`.

    Raises:
      ConfigError: EnvPool is not installed, has no environment of this name, or cannot
        make it; or `GymnasiumVector` refuses it.
    """
    names = _import_envpool().list_all_envs()
    if name not in names:
        raise ConfigError(f"EnvPool has no environment '{name}'{nearest(name, names)}")
    factory = EnvpoolFactory(name=name)
    try:
        factory(seed=0).close()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        reason = first_line(error)
        raise ConfigError(
            f"EnvPool's environment '{name}' cannot be made: {reason}"
        ) from error
    return factory


def _import_envpool() -> ModuleType:
    try:
        import envpool
    except ImportError as error:
        raise ConfigError(
            f"EnvPool cannot be imported: {error}; pip install 'acmelike[envpool]'"
        ) from error
    return cast(ModuleType, envpool)


def _first_of(step: VectorStep) -> dm_env.TimeStep:
    kind, reward, discount = (array[0] for array in step[:3])
    observation = optree.tree_map(lambda array: array[0], step.observation)
    if kind == dm_env.StepType.FIRST:
        return dm_env.restart(observation)
    return dm_env.TimeStep(dm_env.StepType(kind), reward, discount, observation)
