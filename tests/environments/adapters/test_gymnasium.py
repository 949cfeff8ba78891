"""What the adapter makes of gymnasium's way to say things."""

import pickle
import re

import gymnasium
import numpy as np
import pytest
from dm_env import StepType, specs
from gymnasium import spaces

from acmelike.environments import GymnasiumEnvironment, VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.types import MultiDiscreteArray, OffsetDiscreteArray

BOX = spaces.Box(-1, 1, (2,), np.float32)


class Scripted(gymnasium.Env):
    """Ends as told; remembers the seeds of its resets and whether it was closed."""

    def __init__(self, ends=(), observation_space=BOX, action_space=BOX):
        self.observation_space, self.action_space = observation_space, action_space
        self.ends = list(ends)
        self.seeds = []
        self.is_closed = False

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        terminated, truncated = self.ends.pop(0)
        return np.ones(2, np.float32), 0.5, terminated, truncated, {}

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize(
    ("terminated", "truncated", "kind", "discount"),
    [
        (False, False, StepType.MID, 1),
        (True, False, StepType.LAST, 0),
        (False, True, StepType.LAST, 1),
        (True, True, StepType.LAST, 0),
    ],
)
def test_termination_and_truncation(terminated, truncated, kind, discount):
    environment = GymnasiumEnvironment(Scripted([(terminated, truncated)]), seed=0)
    environment.reset()
    step = environment.step(np.zeros(2, np.float32))
    assert (step.step_type, step.discount, step.reward) == (kind, discount, 0.5)
    assert type(step.reward) is np.float32


def test_a_time_limit_is_not_a_termination():
    env = gymnasium.make("CartPole-v1", max_episode_steps=3)
    environment = GymnasiumEnvironment(env, seed=0)
    environment.reset()
    steps = [environment.step(action) for action in (0, 1, 0)]
    assert [step.last() for step in steps] == [False, False, True]
    assert steps[-1].discount == 1


def test_a_fallen_pole_is_a_termination():
    environment = GymnasiumEnvironment(gymnasium.make("CartPole-v1"), seed=0)
    step = environment.reset()
    while not step.last():
        step = environment.step(0)
    assert step.discount == 0


def test_only_the_first_reset_has_a_seed():
    env = Scripted([(True, False)])
    environment = GymnasiumEnvironment(env, seed=7)
    environment.reset()
    environment.step(None)
    assert environment.step(None).first()
    environment.reset()
    assert env.seeds == [7, None, None]


def test_box_spaces_keep_dtype_and_bounds():
    space = spaces.Box(np.array([0, 1]), np.array([2, 3]), dtype=np.uint8)
    spec = GymnasiumEnvironment(Scripted((), space), seed=0).observation_spec()
    assert isinstance(spec, specs.BoundedArray)
    assert (spec.shape, spec.dtype) == ((2,), np.uint8)
    assert (spec.minimum.tolist(), spec.maximum.tolist()) == ([0, 1], [2, 3])


def test_a_box_without_any_bound_is_a_plain_array():
    space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    spec = GymnasiumEnvironment(Scripted((), space), seed=0).observation_spec()
    assert spec == specs.Array((3,), np.float64, "observation")


def test_discrete_spaces():
    environment = GymnasiumEnvironment(gymnasium.make("FrozenLake-v1"), seed=0)
    assert environment.observation_spec().num_values == 16
    assert environment.action_spec().num_values == 4
    for step in (environment.reset(), environment.step(0)):
        environment.observation_spec().validate(step.observation)


@pytest.mark.parametrize(
    ("space", "spec"),
    [
        (
            spaces.Discrete(3, start=-1),
            specs.BoundedArray((), np.int64, -1, 1, "observation"),
        ),
        (
            spaces.MultiBinary((2, 3)),
            specs.BoundedArray((2, 3), np.int8, 0, 1, "observation"),
        ),
        (
            spaces.MultiDiscrete([3, 2], start=[0, 4]),
            MultiDiscreteArray((2,), np.int64, [0, 4], [2, 5], "observation"),
        ),
        (
            spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple([BOX])),
            {
                "a": specs.DiscreteArray(2, np.int64, "observation"),
                "b": (specs.BoundedArray((2,), np.float32, -1, 1, "observation"),),
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_observed_has_bounds(space, spec):
    environment = GymnasiumEnvironment(Scripted((), space), seed=0)
    assert environment.observation_spec() == spec


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (spaces.Text(3), "Text("),
        # A text of more than one line.
        (spaces.Graph(spaces.Box(0, np.arange(1, 99, dtype="f")), None), "Graph("),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("role", ["observation", "action"])
def test_other_spaces_are_refused_in_one_line(space, text, role):
    with pytest.raises(ConfigError) as caught:
        GymnasiumEnvironment(Scripted(**{f"{role}_space": space}), seed=0)
    message = str(caught.value)
    assert message.startswith(f"{role} space {text}")
    assert "\n" not in message


def test_a_part_of_another_kind_is_refused():
    space = spaces.Dict(a=BOX, b=spaces.Text(3))
    with pytest.raises(ConfigError, match=r"^observation space Text\("):
        GymnasiumEnvironment(Scripted((), space), seed=0)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple([BOX, spaces.Discrete(2)]),
        spaces.Dict(a=BOX),
    ],
    ids=str,
)
def test_other_actions_are_refused(space):
    known = "Discrete, MultiDiscrete, MultiBinary nor Box"
    words = re.escape(f"action space {space} is neither {known}")
    with pytest.raises(ConfigError, match=words):
        GymnasiumEnvironment(Scripted(action_space=space), seed=0)


def test_several_switches_are_several_categories():
    env = Scripted(action_space=spaces.MultiBinary(3))
    spec = GymnasiumEnvironment(env, seed=0).action_spec()
    assert isinstance(spec, MultiDiscreteArray)
    assert (spec.shape, spec.dtype) == ((3,), np.int8)
    assert spec.categories() == ((0, 0, 0), (2, 2, 2))


def test_close_closes_the_environment_inside():
    env = Scripted()
    GymnasiumEnvironment(env, seed=0).close()
    assert env.is_closed


@pytest.mark.parametrize(
    ("space", "spec"),
    [
        (
            spaces.Discrete(3, start=5),
            OffsetDiscreteArray(5, 3, np.dtype(np.int64), "action"),
        ),
        (
            spaces.MultiDiscrete([3, 2], start=[0, 4]),
            MultiDiscreteArray((2,), np.int64, [0, 4], [2, 5], "action"),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_discrete_actions_of_other_kinds(space, spec):
    found = GymnasiumEnvironment(Scripted(action_space=space), seed=0).action_spec()
    assert found == spec and type(found) is type(spec)
    assert found != specs.DiscreteArray(3, np.int64, "action")
    # Other processes get the same.
    again = pickle.loads(pickle.dumps(found))
    assert again == found and type(again) is type(found)


def test_actions_are_counted_from_zero_for_agents_and_not_for_environments():
    class Kept(Scripted):
        def step(self, action):
            self.actions.append(int(action))
            return super().step(action)

    env = Kept([(False, False)] * 2, action_space=spaces.Discrete(3, start=5))
    env.actions = []
    vector = VectorEnvironment(
        lambda seed: GymnasiumEnvironment(env, seed=seed), num_envs=1, seed=0
    )
    vector.reset()
    for action in (0, 2):
        vector.step([action])
    assert env.actions == [5, 7]
