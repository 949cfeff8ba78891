"""Catch, played by hand."""

import dm_env
import numpy as np
import pytest

from acmelike.environments import Catch
from acmelike.errors import ConfigError

LEFT, STAY, RIGHT = 0, 1, 2


def play(environment, aim):
    """One episode; `aim` is how far from the ball the paddle wants to be."""
    step = environment.reset()
    ball = int(step.observation[0].argmax())
    paddle = environment.observation_spec().shape[1] // 2
    steps = [step]
    while not step.last():
        move = int(np.sign(ball + aim - paddle))
        paddle += move
        step = environment.step(STAY + move)
        steps.append(step)
    return steps


def test_the_ball_falls_one_row_a_step():
    environment = Catch(rows=4, columns=3, seed=1)
    steps = play(environment, aim=0)
    column = int(steps[0].observation[0].argmax())
    assert len(steps) == 4
    for row, step in enumerate(steps):
        assert step.observation[row, column] == 1
        assert step.observation.shape == (4, 3)
        assert step.observation.dtype == np.float32
        assert step.observation.sum() == (1 if step.last() else 2)


def test_a_ball_caught_is_one_and_the_episode_terminates():
    environment = Catch(seed=0)
    for _ in range(10):
        steps = play(environment, aim=0)
        assert [step.reward for step in steps] == [None, *[0] * 8, 1]
        assert steps[-1].discount == 0


def test_a_ball_missed_is_minus_one():
    environment = Catch(columns=9, seed=0)
    rewards = []
    for _ in range(10):
        step = environment.reset()
        is_left = step.observation[0].argmax() < 4
        while not step.last():
            step = environment.step(RIGHT if is_left else LEFT)
        rewards.append(float(step.reward))
    assert rewards == [-1] * 10


def test_the_paddle_stops_at_the_walls():
    environment = Catch(rows=10, columns=5, seed=0)
    environment.reset()
    for _ in range(5):
        step = environment.step(LEFT)
    assert step.observation[-1].tolist() == [1, 0, 0, 0, 0]
    step = environment.step(RIGHT)
    assert step.observation[-1].tolist() == [0, 1, 0, 0, 0]


def test_a_step_before_the_first_reset_is_a_reset():
    assert Catch().step(LEFT).step_type is dm_env.StepType.FIRST


@pytest.mark.parametrize("size", [{"rows": 1}, {"columns": 0}])
def test_a_board_without_a_game_is_refused(size):
    with pytest.raises(ConfigError, match="at least 2 rows and 1 column"):
        Catch(**size)
