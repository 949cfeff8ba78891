"""A factory that takes masks of actions from infos, and what it refuses."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from acmelike.environments import (
    ActionMaskFromInfo,
    ActionMaskFromInfoFactory,
    Catch,
    FrameStackFactory,
    RestartingFactory,
    StepTimeoutFactory,
    VectorEnvironment,
    make_environment_factory,
)
from acmelike.environments.interface import make_rendering
from acmelike.environments.wrappers.action_mask import make_action_mask_factory
from acmelike.errors import ConfigError

CLOSED = []
NO_MASK = "environment 'it': the info of this environment has no 'action_mask'"


class Doors(gymnasium.Env):
    """Three doors, of which another one is locked in each of four steps."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, render_mode=None):
        self.render_mode, self.num_steps = render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.num_steps = 0
        return self.look(), self.info()

    def step(self, action):
        self.num_steps += 1
        return self.look(), 1.0, self.num_steps == 4, False, self.info()

    def look(self):
        return np.full(1, self.num_steps, np.float32)

    def info(self):
        return {"action_mask": np.arange(3) != self.num_steps % 3}

    def render(self):
        assert self.render_mode == "rgb_array"
        return np.zeros((8, 8, 3), np.uint8)

    def close(self):
        CLOSED.append(self)


class Open(Doors):
    """Its info says nothing of what is locked."""

    def info(self):
        return {}


class Undecided(Doors):
    def info(self):
        return {"action_mask": None}


class Narrow(Doors):
    """Has a mask for other actions than its own."""

    def info(self):
        return {"action_mask": np.ones(2, np.int8)}


class Unready(Doors):
    def info(self):
        raise OSError("no keys\nand more that nobody wants to read")


class Sliding(Doors):
    """Opens doors a bit."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)


class Labelled(Doors):
    """Has the mask in its observations, too."""

    observation_space = spaces.Dict(
        place=Doors.observation_space, action_mask=spaces.MultiBinary(3)
    )


class Board(Catch):
    """Of dm_env."""

    def __init__(self, seed):
        super().__init__(seed=seed)

    def close(self):
        CLOSED.append(self)


def test_observations_have_the_mask_of_each_step():
    factory = make_action_mask_factory(make_environment_factory(Doors), "it")
    vector = VectorEnvironment(factory, num_envs=2, seed=0)
    assert vector.spec.has_action_mask
    # The last one starts an episode.
    steps = [vector.reset(), *(vector.step([0, 2]) for _ in range(5))]
    vector.close()
    for k in range(2):
        seen = [step.observation["observation"][k].tolist() for step in steps]
        assert seen == [[0], [1], [2], [3], [4], [0]]
        masks = [step.observation["action_mask"][k] for step in steps]
        assert all(mask.dtype == np.int8 for mask in masks)
        locked = [np.flatnonzero(mask == 0).tolist() for mask in masks]
        assert locked == [[0], [1], [2], [0], [1], [0]]


def test_the_factory_is_a_value():
    inner = make_environment_factory("CartPole-v1")
    factory = ActionMaskFromInfoFactory(inner=inner)
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert factory == ActionMaskFromInfoFactory(inner=inner)


def test_other_wrappers_go_around_it():
    factory = ActionMaskFromInfoFactory(inner=make_environment_factory(Doors))
    factory = StepTimeoutFactory(inner=factory, seconds=60.0)
    environment = FrameStackFactory(inner=factory, num_frames=2)(seed=0)
    environment.reset()
    step = environment.step(0)
    environment.close()
    assert step.observation["observation"].tolist() == [[0], [1]]
    assert step.observation["action_mask"].tolist() == [1, 0, 1]


def test_for_a_video_it_is_made_with_its_render_mode():
    factory = ActionMaskFromInfoFactory(inner=make_environment_factory(Doors))
    environment = make_rendering(factory, 0)
    assert environment.reset().observation["action_mask"].tolist() == [0, 1, 1]
    assert environment.render().shape == (8, 8, 3)
    environment.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Open, NO_MASK),
        (Undecided, NO_MASK),
        (Narrow, r"shape \(2,\) in 'action_mask', its specification says \(3,\)"),
        (Unready, "environment 'it': .* raised OSError in reset: no keys$"),
        (Sliding, "environment 'it': only discrete actions have a mask: Box"),
        (Labelled, "'it': the observations .* have an 'action_mask' already"),
        (Board, "'it': Board has no info, .*: leave out action_mask_from_info"),
    ],
)
def test_what_has_no_mask_in_its_info_is_refused_in_one_line_and_closed(make, words):
    inner = make_environment_factory(make)
    CLOSED.clear()
    with pytest.raises(ConfigError, match=words) as caught:
        make_action_mask_factory(inner, "it")
    assert "\n" not in str(caught.value)
    assert len(CLOSED) == 1


def test_an_environment_that_has_its_mask_already_is_not_masked_twice():
    with pytest.raises(ConfigError, match="have an 'action_mask' already"):
        ActionMaskFromInfo(ActionMaskFromInfo(Doors()))


def test_what_steps_several_at_once_is_refused():
    inner = make_environment_factory("vec:CartPole-v1")
    with pytest.raises(ConfigError, match="leave out 'vec:' or 'envpool:', or action_"):
        make_action_mask_factory(inner, "it")
    inner = RestartingFactory(inner=make_environment_factory(Doors), max_restarts=1)
    with pytest.raises(ConfigError, match="put RestartingFactory around this one"):
        make_action_mask_factory(inner, "it")


class SilentAtTheEnd(Doors):
    """Its info has no mask once the episode has ended."""

    def info(self):
        return super().info() if self.num_steps < 4 else {}


def test_a_last_step_needs_no_mask_as_no_action_answers_it():
    environment = ActionMaskFromInfo(SilentAtTheEnd())
    environment.reset()
    masks = [environment.step(0)[0]["action_mask"].tolist() for _ in range(4)]
    assert masks == [[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]]
