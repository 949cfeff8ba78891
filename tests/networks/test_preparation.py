"""What becomes of observations before a network, in NumPy and in JAX."""

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.errors import ConfigError
from acmelike.networks import (
    NatureConv,
    check_observations,
    make_network,
    preparation_of,
)
from acmelike.types import EnvironmentSpec, MultiDiscreteArray, is_category


def spec_of(observations, num_frames=1):
    return EnvironmentSpec(observations, None, None, None, num_frames)


def prepared(spec, x, network="auto"):
    """`[B, ...]` prepared, alike in NumPy and in JAX, and of the shape that is said."""
    preparation = preparation_of(spec, network)
    x = np.asarray(x, spec.observations.dtype)
    found, compiled = preparation(x), jax.jit(preparation)(x)
    assert found.dtype == compiled.dtype == np.float32
    assert (found.shape[1:],) == preparation.shapes
    np.testing.assert_allclose(found, compiled, rtol=1e-6)
    assert hash(preparation) == hash(preparation_of(spec, network))
    return found


def is_plain(observations):
    (part,) = preparation_of(spec_of(observations), "auto").parts
    return part.is_plain


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_a_category_becomes_one_hot(dtype):
    spec = spec_of(specs.DiscreteArray(3, dtype))
    assert prepared(spec, [2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_categories_need_not_begin_at_zero():
    spec = spec_of(specs.BoundedArray((), np.int64, -1, 2))
    assert prepared(spec, [-1, 2]).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_a_stack_of_categories_is_one_of_each():
    spec = spec_of(specs.BoundedArray((2,), np.int64, 0, 2), num_frames=2)
    assert prepared(spec, [[0, 2]]).tolist() == [[[1, 0, 0], [0, 0, 1]]]


def test_of_a_stack_of_several_arrays_a_mask_is_no_part():
    observations = {
        "action_mask": specs.BoundedArray((2,), np.int8, 0, 1),
        "number": specs.BoundedArray((2,), np.int64, 0, 2),
    }
    spec = spec_of(observations, num_frames=2)
    masked = spec._replace(actions=specs.DiscreteArray(2))
    assert preparation_of(masked, "auto").shapes == ((2, 3),)
    # To actions that cannot be masked it is one array more, of numbers.
    other = spec._replace(actions=specs.BoundedArray((1,), np.float32, -1, 1))
    assert preparation_of(other, "auto").shapes == ((2,), (2, 3))


def test_several_categories_are_one_hot_each():
    spec = spec_of(MultiDiscreteArray((2,), np.int64, [0, 4], [2, 5]))
    found = prepared(spec, [[2, 4], [0, 5]])
    assert found.tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]
    bytes_ = spec_of(MultiDiscreteArray((2,), np.uint8, 0, 255))
    assert prepared(bytes_, [[0, 255]]).shape == (1, 512)
    many = spec_of(MultiDiscreteArray((2,), np.int64, 0, [1, 2**14]))
    assert prepared(many, [[1, 9]]).tolist() == [[1, 9]]
    # Of any shape: gymnasium's may be a grid.
    grid = spec_of(MultiDiscreteArray((2, 1), np.int64, 0, 1))
    assert prepared(grid, [[[0], [1]]]).tolist() == [[1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("spec", "num_frames", "expected"),
    [
        (specs.DiscreteArray(3), 1, True),
        (specs.BoundedArray((2,), np.int64, 0, 3), 2, True),
        (specs.BoundedArray((2,), np.int64, 0, 3), 1, False),
        (specs.BoundedArray((2, 3), np.int64, 0, 3), 2, False),
        (MultiDiscreteArray((2, 1), np.int64, 0, 1), 1, True),
        (MultiDiscreteArray((2,), np.int64, 0, 5_000), 2, False),
        (specs.DiscreteArray(10_000), 1, True),
        (specs.DiscreteArray(10_001), 1, False),
        (specs.BoundedArray((), np.float32, 0, 3), 1, False),
        (specs.Array((), np.int64), 1, False),
    ],
)
def test_a_category_is_what_becomes_one_hot(spec, num_frames, expected):
    assert is_category(spec, num_frames) == expected
    (shape,) = preparation_of(spec_of(spec, num_frames), "auto").shapes
    assert (shape != spec.shape) == expected


NEST = {
    "image": specs.BoundedArray((4, 4, 1), np.uint8, 0, 255),
    "arm": (specs.Array((2,), np.float64), specs.DiscreteArray(3)),
}


def test_of_several_arrays_each_is_prepared():
    preparation = preparation_of(spec_of(NEST), "auto")
    observations = {
        "image": np.full((2, 4, 4, 1), 255, np.uint8),
        "arm": (np.full((2, 2), 0.5), np.array([0, 2])),
    }
    for found in (preparation(observations), jax.jit(preparation)(observations)):
        assert found["image"].dtype == np.float32 and found["image"].min() == 1
        position, grip = found["arm"]
        assert position.dtype == np.float32 and position.tolist() == [[0.5, 0.5]] * 2
        assert grip.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert [part.is_plain for part in preparation.parts] == [True, False, False]
    assert preparation.shapes == ((2,), (3,), (4, 4, 1))  # In the order of JAX.
    assert hash(preparation) == hash(preparation_of(spec_of(NEST), "auto"))


def test_one_image_among_several_arrays_is_enough_for_a_network_of_images():
    check_observations(spec_of(NEST), "minatar", agent="dqn")
    with pytest.raises(ConfigError, match=r"'nature' needs .* are \(2,\), \(3,\), \(4"):
        check_observations(spec_of(NEST), "nature", agent="dqn")


@pytest.mark.parametrize(
    "observations",
    [
        specs.Array((), np.int64),  # Without bounds.
        specs.BoundedArray((), np.float32, 0, 3),
        specs.BoundedArray((2,), np.int64, 0, 3),  # Numbers, such as coordinates.
        specs.DiscreteArray(10**6),
        specs.BoundedArray((2,), np.int16, 0, 9),
        specs.Array((4,), np.float64),
        specs.Array((5, 4, 2), bool),
    ],
)
def test_other_numbers_go_in_as_they_are(observations):
    x = np.ones((3, *observations.shape), observations.dtype)
    assert np.array_equal(prepared(spec_of(observations), x), x.astype(np.float32))
    assert is_plain(observations)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "x", "expected"),
    [
        (np.uint8, 0, 255, [0, 51, 255], [0, 0.2, 1]),
        (np.uint8, 51, 255, [0, 51, 255], [-0.25, 0, 1]),
        (np.int8, -128, 127, [-128, -26, 127], [0, 0.4, 1]),
        (np.int8, -1, 1, [-1, 0, 1], [0, 0.5, 1]),
    ],
)
def test_bytes_are_scaled_by_their_bounds(dtype, low, high, x, expected):
    spec = spec_of(specs.BoundedArray((3,), dtype, low, high))
    np.testing.assert_allclose(prepared(spec, [x]), [expected], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_bytes_from_0_to_1_stay(dtype):
    observations = specs.BoundedArray((3,), dtype, 0, 1)
    assert prepared(spec_of(observations), [[0, 1, 51]]).tolist() == [[0, 1, 51]]
    assert is_plain(observations)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_bytes_without_bounds_have_those_of_their_type(dtype):
    spec, limits = spec_of(specs.Array((2,), dtype)), np.iinfo(dtype)
    assert prepared(spec, [[limits.min, limits.max]]).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "shape", [(4, 84, 84), (1, 84, 84), (3, 210, 160), (12, 64, 64), (4, 3, 84, 84)]
)
def test_channels_that_come_first_are_put_last(shape):
    spec = spec_of(specs.Array(shape, np.uint8))
    x = np.random.default_rng(0).integers(256, size=(2, *shape))
    expected = np.moveaxis(x, -3, -1) / 255
    np.testing.assert_allclose(prepared(spec, x), expected, rtol=1e-6)
    assert isinstance(make_network("auto", spec, (8,)).network, NatureConv)
    # A network of one's own gets images as they are.
    own = prepared(spec, x, network="my_module:MyNetwork")
    np.testing.assert_allclose(own, x / 255, rtol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        *((10, 10, 4), (5, 3, 1), (10, 5, 1), (84, 84, 4), (210, 160, 3), (3, 5, 12)),
        *((4, 10, 10, 4), (4, 84, 84, 1), (2, 84, 84, 3), (3, 64, 1), (1, 4, 16)),
        *((4,), (1, 84), (1, 2, 3, 84, 84)),
    ],
)
def test_images_with_channels_last_and_what_is_no_image_stay(shape):
    assert is_plain(specs.Array(shape, np.float32))
    x = np.random.default_rng(0).normal(size=(1, *shape))
    found = prepared(spec_of(specs.Array(shape, np.float32)), x)
    assert np.array_equal(found, x.astype(np.float32))


@pytest.mark.parametrize(
    ("network", "shape", "is_taken"),
    [
        ("minatar", (4,), False),
        ("minatar", (3, 3, 1), True),
        ("nature", (35, 36, 1), False),
        ("nature", (36, 36, 1), True),
        ("nature", (3, 64, 64), True),  # Channels first.
        ("impala_resnet", (10, 5), False),
        ("impala_resnet", (2, 2, 1), True),
        ("mlp", (4,), True),
        ("auto", (), True),
        ("my_module:MyNetwork", (4,), True),
    ],
)
def test_what_a_network_cannot_take_is_refused(network, shape, is_taken):
    spec = spec_of(specs.Array(shape, np.float32))
    if is_taken:
        check_observations(spec, network, agent="dqn")
        return
    words = f"dqn: the network '{network}' needs images"
    with pytest.raises(ConfigError, match=words) as caught:
        check_observations(spec, network, agent="dqn")
    assert "\n" not in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize("network", ["auto", "minatar"])
def test_images_that_may_have_channels_first_are_one_warning(caplog, network):
    """They are too small to be told from images whose channels come last."""
    board, stack = specs.Array((3, 10, 10), np.float32), specs.Array((2, 4, 9, 9), bool)
    parts = {"board": board, "numbers": specs.Array((4,), np.float32), "stack": stack}
    check_observations(spec_of(parts), network, agent="dqn")
    assert caplog.messages == [
        "dqn: observations (3, 10, 10), (2, 4, 9, 9) are taken for images "
        "[..., H, W, C]; if their channels come first, transpose them, such as with "
        "gymnasium.wrappers.TransformObservation"
    ]


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        *(("auto", (10, 10, 4)), ("auto", (3, 10, 1)), ("auto", (2, 10, 10))),
        *(("auto", (3, 64, 64)), ("auto", (4, 10, 10, 4)), ("auto", (3, 10))),
        *(("mlp", (3, 10, 10)), ("my_module:MyNetwork", (3, 10, 10))),
    ],
)
def test_where_channels_are_is_no_question_of_other_images(caplog, network, shape):
    spec = spec_of(specs.Array(shape, np.float32))
    check_observations(spec, network, agent="dqn")
    assert not caplog.records
