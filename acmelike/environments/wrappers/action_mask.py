"""Puts the action mask of an environment's info into its observations."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import optree
from gymnasium import spaces

from acmelike.errors import ConfigError
from acmelike.types import ACTION_MASK


class ActionMaskFromInfo(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment of Gymnasium whose observations say which actions are allowed.

    Some environments, such as Taxi-v4, have an "action_mask" in the info that `reset`
    and `step` return. Here an observation is a dict of two: "observation", which is the
    inner one, and "action_mask", `[M]` int8, which is 1 where an action is allowed.

    Of several categories the mask has the values of all, one after the other. In the
    info it may also be a tuple of masks, one for each category.

    Args:
      env: with actions that are Discrete, MultiDiscrete or MultiBinary.

    Raises:
      ConfigError: the actions are not discrete; `reset` and `step` raise it if the info
        has no mask.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        mask = spaces.MultiBinary(_mask_size(env.action_space))
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
        masked = self._with_mask(observation, info)
        return masked, reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        if ACTION_MASK not in info:
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
    raise ConfigError(f"only discrete actions have a mask: {space}")
