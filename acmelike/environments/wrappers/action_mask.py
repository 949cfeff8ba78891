"""Puts the action mask of an environment's info into its observations."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import Any, SupportsFloat

import dm_env
import gymnasium
import numpy as np
import optree
from gymnasium import spaces

from acmelike.environments.adapters.gymnasium import GymnasiumEnvironment
from acmelike.environments.interface import EnvironmentFactory, make_rendering
from acmelike.environments.signal_handlers import signal_handlers_kept
from acmelike.environments.vector import make_vector_environment
from acmelike.environments.wrappers.restarting import refuse_vectors_inside
from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import ConfigError, EnvironmentFault, first_line
from acmelike.types import ACTION_MASK


class ActionMaskFromInfo(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment of Gymnasium whose observations say which actions are allowed.

    Some environments, such as Taxi-v4, have an "action_mask" in the info that `reset`
    and `step` return. Here an observation is a dict of two: "observation", which is the
    inner one, and "action_mask", `[M]` int8, which is 1 where an action is allowed.

    If an action is several categories, the mask has the values of all, one after the
    other. In the info the mask may also be a tuple of masks, one for each category.

    Args:
      env: with actions that are Discrete, MultiDiscrete or MultiBinary.

    Raises:
      ConfigError: the actions are not discrete, or the observations have a mask
        already; `reset` and `step` raise it if the info has no mask, unless the
        episode has ended.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        mask = spaces.MultiBinary(_mask_size(env.action_space))
        seen = env.observation_space
        if isinstance(seen, spaces.Dict) and ACTION_MASK in seen.spaces:
            raise ConfigError(
                f"the observations of this environment have an '{ACTION_MASK}' already"
            )
        self._all_allowed = np.ones(mask.shape, np.int8)
        parts = {"observation": env.observation_space, ACTION_MASK: mask}
        self.observation_space = spaces.Dict(parts)

    def reset(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(**settings)
        return self._with_mask(observation, info), info

    def step(
        self, action: Any
    ) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        is_last = bool(terminated or truncated)
        masked = self._with_mask(observation, info, is_last)
        return masked, reward, terminated, truncated, info

    def _with_mask(
        self, observation: Any, info: dict[str, Any], is_last: bool = False
    ) -> dict[str, Any]:
        if info.get(ACTION_MASK) is None:
            if is_last:  # No action follows, so any mask will do.
                return {"observation": observation, ACTION_MASK: self._all_allowed}
            raise ConfigError(f"the info of this environment has no '{ACTION_MASK}'")
        parts: list[Any] = optree.tree_leaves(info[ACTION_MASK])
        mask = np.concatenate([np.ravel(part) for part in parts]).astype(np.int8)
        return {"observation": observation, ACTION_MASK: mask}


def _mask_size(space: gymnasium.Space[Any]) -> int:
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.MultiBinary):  # Two values each.
        return 2 * math.prod(space.shape)
    text = " ".join(str(space).split())
    raise ConfigError(f"only discrete actions have a mask: {text}")


@dataclass(frozen=True, kw_only=True)
class ActionMaskFromInfoFactory:
    """An `EnvironmentFactory` of environments inside `ActionMaskFromInfo`.

    Attributes:
      inner: makes environments of Gymnasium, one at a time; as
        `make_environment_factory` does for a name, a class or a function.
    """

    inner: EnvironmentFactory

    def __post_init__(self) -> None:
        refuse_vectors_inside(
            self.inner,
            "the infos of a vectorised environment are not read: leave out 'vec:' or "
            "'envpool:', or action_mask_from_info",
        )

    def __call__(self, seed: int) -> GymnasiumEnvironment:
        """Makes one environment.

        Raises:
          ConfigError: it is not one of Gymnasium, or `ActionMaskFromInfo` refuses it.
        """
        return wrapped(self.inner(seed), self._mask)

    def make_rendering(self, seed: int) -> GymnasiumEnvironment:
        """Makes one environment that can draw itself, if the inner factory can."""
        return wrapped(make_rendering(self.inner, seed), self._mask)

    def _mask(self, environment: dm_env.Environment) -> GymnasiumEnvironment:
        if not isinstance(environment, GymnasiumEnvironment):
            raise ConfigError(
                f"{type(environment).__name__} has no info, as environments of "
                f"Gymnasium have, and so no mask in it: leave out action_mask_from_info"
            )
        environment.wrap_inside(ActionMaskFromInfo)
        return environment


@signal_handlers_kept()
def make_action_mask_factory(
    inner: EnvironmentFactory, name: str
) -> ActionMaskFromInfoFactory:
    """Makes a factory, and one environment with it as a check.

    The environment is also reset, because only an info shows whether there is a mask.

    Args:
      inner: makes the environments.
      name: of the environments, for messages.

    Raises:
      ConfigError: they are vectorised or not of Gymnasium, have no mask in their info,
        or a mask that does not fit their actions; or the first reset fails.
    """
    factory = ActionMaskFromInfoFactory(inner=inner)
    try:
        with closing(make_vector_environment(factory, num_envs=1, seed=0)) as vector:
            vector.reset()
    except (ConfigError, EnvironmentFault) as error:
        raise ConfigError(f"environment '{name}': {first_line(error)}") from error
    return factory
