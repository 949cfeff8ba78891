"""Actions between bounds: scaling there and back, and what is refused."""

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agents.parts.bounds import Bounds, bounds_of
from acmelike.errors import ConfigError

BOUNDS = Bounds(shape=(2,), low=(-2.0, 0.0), high=(2.0, 10.0))


def test_from_minus_1_to_1_is_from_the_lower_to_the_upper_bound():
    x = np.array([[-1, -1], [0, 0], [1, 1], [0.5, -0.5]], np.float32)
    action = BOUNDS.scale(x)
    np.testing.assert_array_equal(action, [[-2, 0], [0, 5], [2, 10], [1, 2.5]])
    np.testing.assert_array_equal(BOUNDS.unscale(action), x)
    assert action.dtype == BOUNDS.unscale(action).dtype == np.float32


def test_what_is_beyond_the_ends_stays_there_only_if_nothing_is_clipped():
    x = np.array([[-2, 3]], np.float32)
    assert BOUNDS.scale(x).tolist() == [[-2, 10]]
    assert BOUNDS.scale(x, clip=False).tolist() == [[-4, 20]]


def test_rounding_does_not_leave_the_bounds():
    ends = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    low, high = np.sort(ends, axis=0)
    bounds = Bounds(shape=(100,), low=tuple(low.tolist()), high=tuple(high.tolist()))
    for x in (-1, 1):
        action = bounds.scale(np.full((1, 100), x, np.float32))
        assert ((action >= low) & (action <= high)).all()


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_actions_have_the_shape_of_the_environment(shape):
    bounds = bounds_of(specs.BoundedArray(shape, np.float32, -3, 1), "x")
    x = np.linspace(-1, 1, 5 * bounds.size, dtype=np.float32).reshape(5, bounds.size)
    action = bounds.scale(x)
    assert action.shape == (5, *shape) and bounds.size == np.prod(shape)
    np.testing.assert_allclose(bounds.unscale(action), x, atol=1e-6)
    np.testing.assert_allclose(jax.jit(bounds.scale)(x), action, atol=1e-6)


def test_bounds_of_each_dimension_are_read():
    spec = specs.BoundedArray((2,), np.float64, [-2, 0], [2, 10])
    assert bounds_of(spec, "x") == BOUNDS
    assert hash(bounds_of(spec, "x")) == hash(BOUNDS)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (specs.Array((2,), np.float32), "bounds"),
        (specs.DiscreteArray(3), "continuous"),
        (specs.BoundedArray((2,), np.int32, 0, 3), "continuous"),
        (specs.BoundedArray((2,), np.float32, -np.inf, 1), "finite"),
        (specs.BoundedArray((2,), np.float32, [0, 0], [np.inf, 1]), "finite"),
        (specs.BoundedArray((2,), np.float64, -1e300, 1e300), "finite"),
        (specs.BoundedArray((2,), np.float32, [0, 1], [1, 1]), "below"),
    ],
)
def test_other_actions_are_refused_in_one_line(spec, words):
    with pytest.raises(ConfigError, match="^sac needs .*" + words) as caught:
        bounds_of(spec, "sac")
    assert "\n" not in str(caught.value)
