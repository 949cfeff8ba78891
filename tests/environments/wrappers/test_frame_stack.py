"""What a stack shows, from the first frame of an episode on."""

import pickle

import dm_env
import numpy as np
import optree
import pytest
from dm_env import specs

from acmelike.environments import (
    CatchFactory,
    FrameStack,
    FrameStackFactory,
    RestartingFactory,
    TimeLimit,
    VectorEnvironment,
    make_environment_factory,
    make_environment_spec,
)
from acmelike.environments.wrappers.frame_stack import stacked_like
from acmelike.errors import ConfigError, EnvironmentFault
from acmelike.types import MultiDiscreteArray


class Counting(dm_env.Environment):
    """Shows how many steps it took, in one buffer; episodes have four steps."""

    def __init__(self, shape=(1,)):
        self.time, self.buffer = 0, np.zeros(shape, np.uint8)

    def reset(self):
        return dm_env.restart(self.look())

    def step(self, action):
        kind = dm_env.truncation if self.time % 4 == 0 else dm_env.transition
        return kind(1.0, self.look())

    def look(self):
        self.buffer[...] = self.time = self.time + 1
        return self.buffer

    def observation_spec(self):
        return specs.BoundedArray(self.buffer.shape, np.uint8, 0, 9, "seen")

    def action_spec(self):
        return specs.DiscreteArray(2)


def test_the_last_frames_oldest_first_and_the_first_for_those_missing():
    environment = FrameStack(Counting(), num_frames=3)
    steps = [environment.reset()]
    steps += [environment.step(0) for _ in range(4)]
    steps += [environment.reset(), environment.step(0)]
    seen = [step.observation[:, 0].tolist() for step in steps]
    assert seen[:5] == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert seen[5:] == [[6, 6, 6], [6, 6, 7]]  # Nothing of the episode before.
    assert steps[4].last() and steps[4].discount == 1


def test_its_spec_is_that_of_a_frame_so_many_times():
    spec = FrameStack(Counting((2, 3, 1)), num_frames=4).observation_spec()
    assert (spec.shape, spec.dtype, spec.name) == ((4, 2, 3, 1), np.uint8, "seen")
    assert spec.minimum.shape == spec.shape and (spec.maximum == 9).all()


class CountingParts(Counting):
    """Shows the number as a picture and as a category, and a mask of its parity."""

    def __init__(self, shape):
        super().__init__(shape)
        self.mask = np.ones(2, np.int8)

    def look(self):
        picture = super().look()
        self.mask[0] = self.time % 2
        return {"seen": [picture, self.time], "action_mask": self.mask}

    def observation_spec(self):
        parts = [super().observation_spec(), specs.DiscreteArray(9)]
        mask = specs.BoundedArray((2,), np.int8, 0, 1)
        return {"seen": parts, "action_mask": mask}


def test_of_several_arrays_each_is_stacked_but_of_a_mask_the_newest_counts():
    environment = FrameStack(CountingParts((2, 3)), num_frames=3)
    steps = [environment.reset(), environment.step(0), environment.step(0)]
    steps.append(environment.reset())
    spec, masks = environment.observation_spec(), []
    expected = [[1, 1, 1], [1, 1, 2], [1, 2, 3], [4, 4, 4]]
    for step, numbers in zip(steps, expected, strict=True):
        optree.tree_map_(lambda leaf, x: leaf.validate(x), spec, step.observation)
        picture, number = step.observation["seen"]
        assert picture.shape == (3, 2, 3, 1)
        assert picture[:, 1, 2, 0].tolist() == number.tolist() == numbers
        masks.append(step.observation["action_mask"].tolist())
    assert masks == [[1, 1], [0, 1], [1, 1], [0, 1]]


def test_a_stack_of_several_categories_is_still_one_of_categories():
    environment = Counting((2,))
    environment.observation_spec = lambda: MultiDiscreteArray((2,), np.uint8, 0, [3, 9])
    spec = FrameStack(environment, num_frames=2).observation_spec()
    assert isinstance(spec, MultiDiscreteArray)
    assert spec.categories() == ((0, 0, 0, 0), (4, 10, 4, 10))


def test_frames_without_colours_get_an_axis_for_them():
    environment = FrameStack(Counting((2, 3)), num_frames=4)
    spec = environment.observation_spec()
    assert spec.shape == (4, 2, 3, 1)
    spec.validate(environment.reset().observation)


def test_a_frame_that_is_not_as_said_is_a_fault():
    inside = Counting((2, 3))
    environment = FrameStack(inside, num_frames=4)
    environment.reset()
    inside.buffer = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), its spec.* says \(2, 3\)"):
        environment.step(0)


def test_a_wrong_frame_does_not_count_as_a_crash(caplog):
    inside = [Counting((2, 3)), Counting((2, 3))]
    factory = RestartingFactory(
        inner=FrameStackFactory(inner=lambda seed: inside.pop(), num_frames=4),
        max_restarts=1,
    )
    environment = inside[-1]
    vector = factory.make_vector(num_envs=1, seed=0)
    vector.reset()
    environment.buffer = np.zeros((3, 2), np.uint8)
    with pytest.raises(EnvironmentFault, match="0 returned an observation of shape"):
        vector.step([0])
    assert not caplog.records


class Doubled(dm_env.Environment):
    """A wrapper of somebody else, which shows other observations."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def reset(self):
        return self.doubled(self.inner.reset())

    def step(self, action):
        return self.doubled(self.inner.step(action))

    def doubled(self, step):
        return step._replace(observation=2 * step.observation)

    def observation_spec(self):
        return self.inner.observation_spec()

    def action_spec(self):
        return self.inner.action_spec()


@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: TimeLimit(inner, num_steps=2)]
)
def test_what_another_wrapper_shows_is_not_taken_for_a_stack(wrap):
    """Replay would store the frames inside of it."""
    stack = FrameStack(Counting(), num_frames=3)
    assert Doubled(stack).num_stacked_frames == 3
    assert make_environment_spec(wrap(stack)).num_frames == 3
    assert make_environment_spec(wrap(Doubled(stack))).num_frames == 1


def test_a_category_that_the_spec_does_not_have_is_a_fault_in_a_stack_too():
    inside = Counting(())
    inside.observation_spec = lambda: specs.DiscreteArray(3, np.uint8)
    vector = VectorEnvironment(
        lambda seed: FrameStack(inside, num_frames=2), num_envs=1, seed=0
    )
    vector.reset()
    vector.step([0])
    with pytest.raises(EnvironmentFault, match=r"with \[2, 3\] in step 2 of an ep"):
        vector.step([0])


def test_a_factory_is_a_value_that_can_be_pickled():
    factory = FrameStackFactory(inner=CatchFactory(), num_frames=2)
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert factory(seed=0).reset().observation.shape == (2, 10, 5, 1)


def test_an_environment_that_cannot_be_stacked_is_closed():
    class Broken(Counting):
        def observation_spec(self):
            return {"board": "no array"}

        def close(self):
            closed.append(self)

    closed = []
    factory = FrameStackFactory(inner=lambda seed: Broken(), num_frames=2)
    with pytest.raises(ConfigError, match="no array in 'board'"):
        factory(0)
    assert len(closed) == 1


def test_it_takes_one_frame_at_least_and_no_vectorised_environment():
    with pytest.raises(ConfigError, match="num_frames must be at least 1, not 0"):
        FrameStack(Counting(), num_frames=0)
    with pytest.raises(ConfigError, match="leave out 'vec:'"):
        FrameStackFactory(
            inner=make_environment_factory("vec:CartPole-v1"), num_frames=2
        )


def counting(seed):
    return Counting((2, 3))


def whole_stack(seed):
    """Shows three frames in a way of its own."""
    return Counting((3, 2, 3, 1))


def test_environments_get_the_stack_of_a_spec_unless_they_have_one():
    stacked = FrameStackFactory(inner=counting, num_frames=3)
    spec = make_environment_spec(stacked(0))
    assert stacked_like(counting, spec) == stacked
    longer = FrameStackFactory(inner=counting, num_frames=4)
    for factory in (stacked, longer, whole_stack):
        assert stacked_like(factory, spec) is factory
    assert stacked_like(counting, make_environment_spec(counting(0))) is counting
    with pytest.raises(ConfigError, match="leave out 'vec:'"):
        stacked_like(make_environment_factory("vec:CartPole-v1"), spec)
