"""What is hidden, what is left, and that nothing else changes."""

import gymnasium
import numpy as np
import pytest
from dm_env import specs

from acmelike.environments import (
    Catch,
    GymnasiumEnvironment,
    MaskedObservation,
    make_environment_factory,
)
from acmelike.errors import ConfigError
from acmelike.types import MultiDiscreteArray


def test_cartpole_without_velocities_shows_cart_and_angle_of_the_same_episode():
    whole = make_environment_factory("CartPole-v1")(seed=3)
    part = make_environment_factory("CartPole-v1-positions")(seed=3)
    pairs = [(whole.reset(), part.reset())]
    pairs += [(whole.step(k % 2), part.step(k % 2)) for k in range(100)]
    for inside, outside in pairs:
        np.testing.assert_array_equal(outside.observation, inside.observation[[0, 2]])
        assert outside[:3] == inside[:3]
    assert any(inside.last() for inside, _ in pairs)
    # Cart position and pole angle are what gymnasium puts first and third.
    x_threshold, angle = 4.8, 24 * np.pi / 180
    np.testing.assert_allclose(part.observation_spec().maximum, [x_threshold, angle])


def test_the_specs_are_those_of_what_is_left():
    space = gymnasium.spaces.Box(np.array([0, 1, 2]), np.array([3, 4, 5]), dtype=int)
    env = gymnasium.Env()
    env.observation_space, env.action_space = space, gymnasium.spaces.Discrete(2)
    whole = GymnasiumEnvironment(env, seed=0)
    part = MaskedObservation(whole, indices=[2, 0])
    spec = part.observation_spec()
    assert (spec.shape, spec.dtype, spec.name) == ((2,), int, "observation")
    assert (spec.minimum.tolist(), spec.maximum.tolist()) == ([2, 0], [5, 3])
    assert part.action_spec() == whole.action_spec()
    assert part.reward_spec() == whole.reward_spec()
    assert part.discount_spec() == whole.discount_spec()


def test_a_spec_without_bounds_stays_without():
    class Unbounded(Catch):
        def observation_spec(self):
            return specs.Array((3,), np.float64, "all")

    part = MaskedObservation(Unbounded(), indices=[1])
    assert part.observation_spec() == specs.Array((1,), np.float64, "all")


def test_some_of_several_categories_are_still_categories():
    class Categories(Catch):
        def observation_spec(self):
            return MultiDiscreteArray((3,), np.int64, [0, 1, 2], [4, 5, 6])

    spec = MaskedObservation(Categories(), indices=[2, 0]).observation_spec()
    assert isinstance(spec, MultiDiscreteArray)
    assert spec.categories() == ((2, 0), (5, 5))


@pytest.mark.parametrize("shown", [(), (4,), (-1,)])
def test_what_is_not_there_cannot_be_shown(shown):
    whole = make_environment_factory("CartPole-v1")(seed=0)
    with pytest.raises(ConfigError, match="some of the elements 0 to 3, not"):
        MaskedObservation(whole, indices=shown)


def test_a_board_cannot_be_shown_in_part():
    with pytest.raises(ConfigError, match="only vectors"):
        MaskedObservation(Catch(), indices=(0,))


def test_close_closes_the_environment_inside():
    closed = []

    class Closing(GymnasiumEnvironment):
        def close(self):
            closed.append(self)

    whole = Closing(gymnasium.make("CartPole-v1"), seed=0)
    MaskedObservation(whole, indices=(0,)).close()
    assert closed == [whole]
