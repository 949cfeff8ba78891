"""Adapts environments of Gymnasium, one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs

from acmelike.environments.adapters import atari
from acmelike.environments.interface import discrete_if_counted
from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import ConfigError, first_line, nearest
from acmelike.types import MultiDiscreteArray, NestedSpec, OffsetDiscreteArray


class GymnasiumEnvironment(dm_env.Environment):  # type: ignore[misc]  # no types
    """A `gymnasium.Env` as a `dm_env.Environment`.

    The last step of an episode has discount 0 if the episode terminated, even if it was
    truncated at the same step, and discount 1 if it was only truncated. Rewards are
    float32.

    Args:
      env: has observations that are Discrete, MultiDiscrete, MultiBinary or Box, or a
        Dict or Tuple of these, and actions that are Discrete, MultiDiscrete,
        MultiBinary or Box; `close` closes it.
      seed: passed to the first `reset` only, so that episodes differ.

    Raises:
      ConfigError: a space is of another kind.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], *, seed: int) -> None:
        self._env = env
        # Gymnasium takes no integers of NumPy.
        self._seed: int | None = int(seed)
        self._is_over = True
        self._observation_spec = make_observation_spec(env.observation_space)
        self._action_spec = make_action_spec(env.action_space)
        self._reward_spec = specs.Array((), np.float32, "reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode; the first reset seeds the environment."""
        observation, _ = self._env.reset(seed=self._seed)
        self._seed = None
        self._is_over = False
        return dm_env.restart(observation)

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step; after a LAST step, resets instead."""
        if self._is_over:
            return self.reset()
        observation, reward, terminated, truncated, _ = self._env.step(action)
        reward = np.float32(reward)
        if not (terminated or truncated):
            return dm_env.TimeStep(dm_env.StepType.MID, reward, 1.0, observation)
        self._is_over = True
        if terminated:
            return dm_env.termination(reward, observation)
        return dm_env.truncation(reward, observation)

    def observation_spec(self) -> NestedSpec:
        """The observation space, with its dtypes and bounds."""
        return self._observation_spec

    def action_spec(self) -> specs.Array:
        """The action space, with its dtype and bounds."""
        return self._action_spec

    def reward_spec(self) -> specs.Array:
        """A float32 scalar."""
        return self._reward_spec

    def render(self) -> Any:
        """A picture, if the environment was made with a render mode that gives one."""
        return self._env.render()

    @property
    def frames_per_second(self) -> float:
        """The rate at which rendered pictures are meant to be shown."""
        return float(self._env.metadata.get("render_fps") or 30)

    def wrap_inside(
        self, wrap: Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]
    ) -> None:
        """Puts a wrapper of Gymnasium around the environment inside.

        Only before the first reset, as it may change observations and actions.

        Args:
          wrap: makes the wrapper.

        Raises:
          ConfigError: a space of the wrapper is of a kind that is not supported.
        """
        self._env = wrap(self._env)
        self._observation_spec = make_observation_spec(self._env.observation_space)
        self._action_spec = make_action_spec(self._env.action_space)

    def close(self) -> None:
        """Closes the environment of Gymnasium."""
        self._env.close()


@dataclass(frozen=True, kw_only=True)
class GymnasiumFactory:
    """An `EnvironmentFactory` of a registered environment.

    Attributes:
      name: the id in Gymnasium's registry, or "module:id".
      arguments: of the environment's constructor, as (name, value).
    """

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __call__(self, seed: int) -> GymnasiumEnvironment:
        """Makes one environment whose first reset takes the seed."""
        return self._make(seed)

    def make_rendering(self, seed: int) -> GymnasiumEnvironment:
        """Makes one environment that can draw itself."""
        return self._make(seed, render_mode="rgb_array")

    def _make(self, seed: int, **settings: Any) -> GymnasiumEnvironment:
        register_package_of(self.name)
        settings |= dict(self.arguments)
        if self.name.startswith(atari.PREFIX):
            env = atari.make_atari(self.name, settings)
        else:
            env = _make_registered(self.name, settings)
        return wrapped(env, partial(GymnasiumEnvironment, seed=seed))


def _make_registered(name: str, settings: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Makes an environment of Gymnasium's registry.

    Raises:
      ConfigError: it needs MuJoCo, which is not installed.
    """
    try:
        # Gymnasium's checker is off because it costs time: it warns of faults that
        # `VectorEnvironment` raises as errors.
        return gymnasium.make(name, disable_env_checker=True, **settings)
    except gymnasium.error.DependencyNotInstalled as error:
        # The error names Gymnasium's extra, which may install a wrong version.
        if "gymnasium[mujoco]" not in str(error):
            raise
        raise ConfigError(
            "MuJoCo is not installed: pip install 'acmelike[mujoco]'"
        ) from None


def make_gymnasium_factory(
    name: str,
    *,
    arguments: Mapping[str, Any] = {},
    other_names: Iterable[str] = (),
) -> GymnasiumFactory:
    """Makes a factory, and one environment with it as a check.

    Args:
      name: an id in Gymnasium's registry, or "module:id".
      arguments: of the environment's constructor.
      other_names: further names to suggest if the name is misspelt.

    Raises:
      ConfigError: the id is unknown (the message has the nearest known name), the
        environment cannot be made (the message has the first line of the cause), or a
        space is of a kind that is not supported.
    """
    factory = GymnasiumFactory(name=name, arguments=tuple(arguments.items()))
    try:
        with warnings.catch_warnings():
            # Warnings are shown when the factory makes an environment for use.
            warnings.simplefilter("ignore")
            factory(seed=0).close()
    except ConfigError as error:
        raise ConfigError(f"environment '{name}': {error}") from None
    except (gymnasium.error.NameNotFound, gymnasium.error.VersionNotFound) as error:
        known = nearest(name, [*other_names, *gymnasium.registry])
        raise ConfigError(f"there is no environment '{name}'{known}") from error
    except (Exception, SystemExit) as error:
        # An environment's constructor may raise anything.
        reason = first_line(error)
        raise ConfigError(f"environment '{name}' cannot be made: {reason}") from error
    return factory


def register_package_of(name: str) -> None:
    """Registers the environments of MinAtar or Atari, if one of these is needed.

    Args:
      name: of the environment that is needed.

    Raises:
      ConfigError: the package is not installed.
    """
    if name.startswith(atari.PREFIX):
        try:
            import ale_py
        except ModuleNotFoundError:
            raise ConfigError(
                "Atari is not installed: pip install 'acmelike[atari]'"
            ) from None
        gymnasium.register_envs(ale_py)  # The import did so already.
    if not name.startswith("MinAtar/") or "MinAtar/Breakout-v1" in gymnasium.registry:
        return
    try:
        from minatar.gym import register_envs
    except ModuleNotFoundError:
        raise ConfigError(
            "MinAtar is not installed: pip install 'acmelike[minatar]'"
        ) from None
    register_envs()


def make_observation_spec(space: gymnasium.Space[Any]) -> NestedSpec:
    """Converts a space of observations to a spec, nested as the space is.

    Raises:
      ConfigError: a space is of a kind that is not supported.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        return {name: make_observation_spec(part) for name, part in space.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(make_observation_spec(part) for part in space)
    name = "observation"
    if isinstance(space, gymnasium.spaces.Discrete) and space.start != 0:
        last = int(space.start) + int(space.n) - 1
        return specs.BoundedArray((), space.dtype, int(space.start), last, name)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return _make_multi_discrete(space, name)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return specs.BoundedArray(space.shape, space.dtype, 0, 1, name)
    known = "Discrete, MultiDiscrete, MultiBinary, Box, Dict nor Tuple"
    return _make_spec(space, name, known)


def make_action_spec(space: gymnasium.Space[Any]) -> specs.Array:
    """Converts a space of actions to a spec.

    Raises:
      ConfigError: the space is of a kind that is not supported.
    """
    name = "action"
    if isinstance(space, gymnasium.spaces.Discrete) and space.start != 0:
        number = int(space.n)
        return OffsetDiscreteArray(int(space.start), number, space.dtype, name)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return _make_multi_discrete(space, name)
    if isinstance(space, gymnasium.spaces.MultiBinary):  # Two categories each.
        return MultiDiscreteArray(space.shape, space.dtype, 0, 1, name)
    known = "Discrete, MultiDiscrete, MultiBinary nor Box"
    return discrete_if_counted(_make_spec(space, name, known))


def _make_multi_discrete(
    space: gymnasium.spaces.MultiDiscrete, name: str
) -> MultiDiscreteArray:
    bounds = space.start, space.start + space.nvec - 1
    return MultiDiscreteArray(space.shape, space.dtype, *bounds, name)


def _make_spec(space: gymnasium.Space[Any], name: str, known: str) -> specs.Array:
    if isinstance(space, gymnasium.spaces.Discrete):  # Counted from 0.
        return specs.DiscreteArray(int(space.n), space.dtype, name)
    if isinstance(space, gymnasium.spaces.Box):
        if np.all(space.low == -np.inf) and np.all(space.high == np.inf):
            return specs.Array(space.shape, space.dtype, name)
        return specs.BoundedArray(space.shape, space.dtype, space.low, space.high, name)
    text = " ".join(str(space).split())
    raise ConfigError(f"{name} space {text} is neither {known}")
