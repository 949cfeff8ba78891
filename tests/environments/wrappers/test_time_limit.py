"""Where a limit cuts episodes off, and what it leaves as it is."""

import pickle

import dm_env
import numpy as np
import pytest

from acmelike.environments import (
    CatchFactory,
    FrameStackFactory,
    TimeLimit,
    TimeLimitFactory,
    VectorEnvironment,
    make_environment_factory,
)
from acmelike.errors import ConfigError

# An episode of nine steps.
CATCH = CatchFactory()


def kinds(num_limit, num_steps=20):
    environment = TimeLimit(CATCH(0), num_steps=num_limit)
    steps = [environment.reset()]
    steps += [environment.step(np.int32(1)) for _ in range(num_steps)]
    return "".join("FML"[step.step_type] for step in steps), steps


def test_an_episode_is_cut_off_at_the_limit():
    found, steps = kinds(4)
    assert found == "FMMMLFMMMLFMMMLFMMMLF"
    # It was not over: what comes next would have counted.
    assert all(step.discount == 1.0 for step in steps if step.last())


def test_an_episode_that_ends_at_the_limit_or_before_is_left_as_it_is():
    whole, steps = kinds(1_000)
    assert whole == "FMMMMMMMMLFMMMMMMMMLF"
    assert kinds(9)[0] == kinds(10)[0] == whole
    assert steps[9].discount == kinds(9)[1][9].discount == 0.0


def test_an_episode_of_one_step():
    assert kinds(1, 4)[0] == "FLFLF"


def test_a_reset_in_the_middle_of_an_episode_restarts_the_count():
    environment = TimeLimit(CATCH(0), num_steps=3)
    environment.reset()
    environment.step(np.int32(1))
    environment.reset()
    later = [environment.step(np.int32(1)).step_type for _ in range(3)]
    assert later[-1] == dm_env.StepType.LAST and later[0] == dm_env.StepType.MID


def test_a_factory_is_a_value_and_its_environments_can_be_stacked():
    factory = TimeLimitFactory(inner=CATCH, num_steps=4)
    assert pickle.loads(pickle.dumps(factory)) == factory
    stacked = FrameStackFactory(inner=factory, num_frames=2)
    spec = VectorEnvironment(stacked, num_envs=1, seed=0).spec
    assert spec.num_frames == 2 and spec.observations.shape == (2, 10, 5, 1)


def test_stacks_inside_are_known_to_be_stacks():
    stacked = FrameStackFactory(inner=CATCH, num_frames=2)
    limited = TimeLimitFactory(inner=stacked, num_steps=4)
    spec = VectorEnvironment(limited, num_envs=1, seed=0).spec
    assert spec.num_frames == 2 and spec.observations.shape == (2, 10, 5, 1)


def test_what_cannot_be_limited_is_refused():
    with pytest.raises(ConfigError, match="num_steps must be at least 1, not 0"):
        TimeLimit(CATCH(0), num_steps=0)
    with pytest.raises(ConfigError, match="leave out 'vec:' or 'envpool:'"):
        TimeLimitFactory(inner=make_environment_factory("vec:CartPole-v1"), num_steps=2)
