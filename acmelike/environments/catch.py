"""Catch, a small environment without dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import dm_env
import numpy as np
from dm_env import specs

from acmelike.checks import at_least, check_fields
from acmelike.errors import ConfigError
from acmelike.types import Array

_PIXELS = 24  # The side of one square of the board in a rendered picture.


class Catch(dm_env.Environment):  # type: ignore[misc]  # dm_env ships no types
    """A ball falls one row per step; a paddle in the last row has to catch it.

    The observation is the board, `[rows, columns]` float32: 1 at the ball and at the
    paddle, 0 elsewhere. Action 0 moves the paddle to the left, 1 keeps it in place, 2
    moves it to the right; at a wall it stays. An episode has `rows - 1` steps. The
    last reward is 1 if the ball is caught and -1 if not; all others are 0.

    Args:
      rows: the height of the board; at least 2.
      columns: the width of the board; at least 1.
      seed: of the columns in which the balls start.

    Raises:
      ConfigError: the board is too small.
    """

    frames_per_second = 5

    def __init__(self, *, rows: int = 10, columns: int = 5, seed: int = 0) -> None:
        if rows < 2 or columns < 1:
            raise ConfigError(
                f"Catch needs at least 2 rows and 1 column, not {rows} and {columns}"
            )
        self._rows, self._columns = rows, columns
        self._random = np.random.default_rng(seed)
        self._is_over = True
        self._ball_row = self._ball_column = self._paddle = 0

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode: the ball in a random column, the paddle in the middle."""
        self._is_over = False
        self._ball_row = 0
        self._ball_column = int(self._random.integers(self._columns))
        self._paddle = self._columns // 2
        return dm_env.restart(self._board())

    def step(self, action: int | Array) -> dm_env.TimeStep:
        """Moves the paddle and the ball; after a LAST step, resets instead."""
        if self._is_over:
            return self.reset()
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self._columns - 1)
        self._ball_row += 1
        if self._ball_row < self._rows - 1:
            return dm_env.transition(np.float32(0), self._board())
        self._is_over = True
        is_caught = self._ball_column == self._paddle
        return dm_env.termination(np.float32(1 if is_caught else -1), self._board())

    def observation_spec(self) -> specs.BoundedArray:
        """The board, `[rows, columns]` float32 in 0..1."""
        shape = (self._rows, self._columns)
        return specs.BoundedArray(shape, np.float32, 0, 1, "board")

    def action_spec(self) -> specs.DiscreteArray:
        """Three actions: left, stay, right."""
        return specs.DiscreteArray(3, np.int64, "action")

    def reward_spec(self) -> specs.Array:
        """A float32 scalar."""
        return specs.Array((), np.float32, "reward")

    def render(self) -> Array:
        """The board as a picture, `[H, W, 3]` uint8, white on black."""
        grey = np.kron(self._board(), np.full((_PIXELS, _PIXELS), 255)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)

    def _board(self) -> Array:
        board = np.zeros((self._rows, self._columns), np.float32)
        board[self._ball_row, self._ball_column] = 1
        board[-1, self._paddle] = 1
        return board


@dataclass(frozen=True, kw_only=True)
class CatchFactory:
    """An `EnvironmentFactory` of `Catch`.

    Attributes:
      rows: the height of the board.
      columns: the width of the board.
    """

    rows: Annotated[int, at_least(2)] = 10
    columns: Annotated[int, at_least(1)] = 5

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, seed: int) -> Catch:
        return Catch(rows=self.rows, columns=self.columns, seed=seed)
