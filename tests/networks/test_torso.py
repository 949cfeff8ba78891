"""Torsos: which observations get which, and a convolution against JAX's own."""

import jax
import numpy as np
import pytest

from acmelike.errors import ConfigError
from acmelike.networks import check_images, make_torso
from acmelike.networks.torso import ConvTorso, DenseTorso


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((10, 10, 4), ConvTorso),
        ((3, 5, 1), ConvTorso),
        ((4, 10, 10, 1), ConvTorso),
        ((2, 5, 1), DenseTorso),  # Smaller than the window.
        ((10, 5), DenseTorso),
        ((4,), DenseTorso),
        ((), DenseTorso),
    ],
)
def test_images_get_a_convolution(shape, kind):
    assert isinstance(make_torso(shape, (8,)), kind)


def test_without_a_word_the_activation_is_relu():
    assert make_torso((6, 5, 2), (7,)) == make_torso((6, 5, 2), (7,), "relu")
    assert make_torso((4,), (7,)) == make_torso((4,), (7,), "relu")


@pytest.mark.parametrize(
    "shape",
    [
        *((10, 10, 4), (5, 3, 1), (10, 5, 1), (84, 84, 4), (210, 160, 3), (3, 5, 12)),
        *((4, 10, 10, 4), (4, 84, 84, 1), (2, 84, 84, 3), (3, 64, 1), (1, 4, 16)),
        *((), (4,), (1, 84), (1, 2, 3, 84, 84)),
    ],
)
def test_images_with_channels_last_and_what_is_no_image_are_taken(shape):
    check_images(shape, agent="dqn")


@pytest.mark.parametrize(
    "shape", [(4, 84, 84), (1, 84, 84), (3, 210, 160), (12, 64, 64), (4, 3, 84, 84)]
)
def test_images_with_channels_first_are_refused_in_one_line(shape):
    with pytest.raises(
        ConfigError, match=r"^dqn needs images as .* come first"
    ) as caught:
        check_images(shape, agent="dqn")
    assert "\n" not in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("hidden_sizes", [(), (7,), (7, 3)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_convolves_as_jax_does_in_numpy_too(dtype, hidden_sizes, activation):
    # Neither square nor symmetric, so that no two axes can be taken for each other.
    torso = make_torso((6, 5, 2), hidden_sizes, activation)
    random, act = np.random.default_rng(0), {"relu": jax.nn.relu, "tanh": np.tanh}
    images = random.integers(2, size=(3, 6, 5, 2)).astype(dtype)
    parameters = jax.device_get(torso.init(jax.random.key(0)))
    parameters["biases"] = random.normal(size=16).astype(np.float32)
    x = jax.lax.conv_general_dilated(
        images.astype(np.float32),
        parameters["kernel"],
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    expected = np.maximum(x + parameters["biases"], 0).reshape(3, 4 * 3 * 16)
    for layer in parameters["dense"]:
        expected = np.asarray(act[activation](expected @ layer["weights"]))
    by_numpy = torso.apply(parameters, images)
    by_jax = jax.jit(torso.apply)(parameters, images)
    assert isinstance(by_numpy, np.ndarray) and by_numpy.dtype == by_jax.dtype
    assert by_numpy.shape == (3, torso.num_features)
    np.testing.assert_allclose(by_numpy, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_jax, expected, rtol=1e-4, atol=1e-5)


def test_the_channels_of_a_stack_are_those_of_all_its_images():
    stacks = np.random.default_rng(0).normal(size=(3, 2, 6, 5, 4)).astype(np.float32)
    torso, of_one = make_torso((2, 6, 5, 4), (7,)), make_torso((6, 5, 8), (7,))
    parameters = jax.device_get(torso.init(jax.random.key(0)))
    merged = np.concatenate([stacks[:, 0], stacks[:, 1]], axis=-1)
    expected = of_one.apply(parameters, merged)
    for apply in (torso.apply, jax.jit(torso.apply)):
        features = apply(parameters, stacks)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
