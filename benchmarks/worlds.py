"""Small environments for what agents have to learn: of bytes, of parts, with masks."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from acmelike.environments import ActionMaskFromInfo

SIZE, MAX_STEPS = 6, 30
GOOD, BAD = (5, 5), (2, 3)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class GridWorld(gymnasium.Env[Any, Any]):
    """The red player, who begins anywhere, is to go to the green place.

    Each step costs 0.01. The green place pays 1 and the blue one -1, and both end the
    episode; else it is cut off after 30 steps. The best mean return is about 0.95.
    """

    observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(len(MOVES))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._player = GOOD
        while self._player in (GOOD, BAD):
            row, column = self.np_random.integers(SIZE, size=2)
            self._player = int(row), int(column)
        self._num_steps = 0
        return self._picture(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        row, column = np.clip(np.add(self._player, MOVES[int(action)]), 0, SIZE - 1)
        self._player = (int(row), int(column))
        self._num_steps += 1
        reward = -0.01
        is_over = self._player in (GOOD, BAD)
        if is_over:
            reward += 1.0 if self._player == GOOD else -1.0
        is_late = self._num_steps >= MAX_STEPS
        return self._picture(), reward, is_over, is_late, {}

    def _picture(self) -> Any:
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        for colour, place in enumerate((self._player, GOOD, BAD)):
            picture[(*place, colour)] = 255
        return picture


class CartPoleOfParts(gymnasium.ObservationWrapper[Any, Any, Any]):
    """CartPole-v1 whose observation is a dict: places, speeds, and the pole's side."""

    observation_space = gymnasium.spaces.Dict(
        places=gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        speeds=gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        side=gymnasium.spaces.Discrete(2),
    )

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))

    def observation(self, observation: Any) -> dict[str, Any]:
        return {
            "places": observation[[0, 2]],
            "speeds": observation[[1, 3]],
            "side": int(observation[2] > 0),
        }


def masked_taxi() -> gymnasium.Env[Any, Any]:
    """Taxi-v4, with the moves that change something as the allowed ones."""
    return ActionMaskFromInfo(gymnasium.make("Taxi-v4"))
