"""Torsos: which observations get which, and a convolution against JAX's own."""

from types import NoneType

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acmelike.networks import (
    MLP,
    ImpalaResNet,
    Joined,
    MinAtarConv,
    NatureConv,
    make_network,
    preparation_of,
)
from acmelike.networks.torso import Embedding
from acmelike.types import EnvironmentSpec, MultiDiscreteArray


def spec_of(shape, dtype=np.float32):
    return EnvironmentSpec(specs.Array(shape, dtype), None, None, None)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((10, 10, 4), MinAtarConv),
        ((3, 5, 1), MinAtarConv),
        ((4, 10, 10, 1), MinAtarConv),
        ((35, 84, 4), MinAtarConv),
        ((36, 36, 1), NatureConv),
        ((4, 84, 84, 1), NatureConv),
        ((4, 84, 84), NatureConv),  # Channels first.
        ((2, 5, 1), MLP),  # Smaller than the window.
        ((10, 5), MLP),
        ((4,), MLP),
        ((), MLP),
    ],
)
def test_images_get_a_convolution(shape, kind):
    assert isinstance(make_network("auto", spec_of(shape), (8,)).network, kind)


def test_without_a_word_the_activation_is_relu():
    for shape in ((6, 5, 2), (4,)):
        without, relu = (
            make_network("auto", spec_of(shape), (7,), *word)
            for word in ((), ("relu",))
        )
        assert without.network == relu.network


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("hidden_sizes", [(), (7,), (7, 3)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_convolves_as_jax_does(dtype, hidden_sizes, activation):
    # Neither square nor symmetric, so that no two axes can be taken for each other.
    torso = make_network("auto", spec_of((6, 5, 2)), hidden_sizes, activation)
    random, act = np.random.default_rng(0), {"relu": jax.nn.relu, "tanh": np.tanh}
    images = random.integers(2, size=(3, 6, 5, 2)).astype(dtype)
    parameters = jax.tree.map(np.array, torso.init(jax.random.key(0), images))
    inner = parameters["params"]["network"]
    inner["bias"][:] = random.normal(size=16)
    x = jax.lax.conv_general_dilated(
        images.astype(np.float32),
        inner["kernel"],
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    expected = np.maximum(x + inner["bias"], 0).reshape(3, 4 * 3 * 16)
    for number in range(len(hidden_sizes)):
        layer = inner["MLP_0"][f"Dense_{number}"]
        expected = np.asarray(act[activation](expected @ layer["kernel"]))
    found = jax.jit(torso.apply)(parameters, images)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_channels_of_a_stack_are_those_of_all_its_images():
    stacks = np.random.default_rng(0).normal(size=(3, 2, 6, 5, 4)).astype(np.float32)
    torso = make_network("auto", spec_of((2, 6, 5, 4)), (7,))
    of_one = make_network("auto", spec_of((6, 5, 8)), (7,))
    parameters = torso.init(jax.random.key(0), stacks)
    merged = np.concatenate([stacks[:, 0], stacks[:, 1]], axis=-1)
    expected = of_one.apply(parameters, merged)
    features = jax.jit(torso.apply)(parameters, stacks)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_the_network_of_nature_has_the_shapes_of_the_paper():
    network = make_network("auto", spec_of((84, 84, 4), np.uint8), (512,))
    images = np.zeros((2, 84, 84, 4), np.uint8)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    inner = shapes["params"]["network"]
    kernels = [inner[f"Conv_{i}"]["kernel"].shape for i in range(3)]
    assert kernels == [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)]
    assert inner["MLP_0"]["Dense_0"]["kernel"].shape == (3136, 512)
    parameters = network.init(jax.random.key(0), images)
    assert network.apply(parameters, images).shape == (2, 512)


NEST = {
    "image": specs.Array((6, 5, 2), np.float32),
    "numbers": (specs.Array((3,), np.float32), specs.DiscreteArray(4)),
}
OBSERVED = {
    "image": np.random.default_rng(0).normal(size=(3, 6, 5, 2)).astype(np.float32),
    "numbers": (np.ones((3, 3), np.float32), np.array([0, 1, 3])),
}


@pytest.mark.parametrize(
    ("name", "kinds", "num_inputs"),
    [
        ("auto", [MinAtarConv, NoneType, NoneType], 7 + 3 + 4),
        ("minatar", [MinAtarConv, NoneType, NoneType], 7 + 3 + 4),
        ("impala_resnet", [ImpalaResNet, NoneType, NoneType], 256 + 3 + 4),
        ("mlp", [NoneType] * 3, 60 + 3 + 4),
    ],
)
def test_images_among_several_arrays_go_through_a_network_first(
    name, kinds, num_inputs
):
    # Of a tanh, as what a relu does not pass on does not count.
    torso = make_network(name, EnvironmentSpec(NEST, None, None, None), (7,), "tanh")
    assert isinstance(torso.network, Joined)
    assert [type(network) for network in torso.network.networks] == kinds
    parameters = torso.init(jax.random.key(0), OBSERVED)
    layer = parameters["params"]["network"]["MLP_0"]["Dense_0"]
    assert layer["kernel"].shape == (num_inputs, 7)
    features = torso.apply(parameters, OBSERVED)
    assert features.shape == (3, 7)
    # Each array counts, for the environment that it is of.
    for change in (
        {"image": OBSERVED["image"] + 1},
        {"numbers": (OBSERVED["numbers"][0] + 1, OBSERVED["numbers"][1])},
        {"numbers": (OBSERVED["numbers"][0], np.array([1, 2, 0]))},
    ):
        other = torso.apply(parameters, OBSERVED | change)
        assert (np.asarray(features) != np.asarray(other)).any(axis=1).all()


class Sum(nn.Module):
    """A network of one's own: it gets the arrays nested as the environment does."""

    def __call__(self, x):
        vector, category = x["numbers"]
        return vector + category[:, :3] + x["image"].sum(axis=(1, 2, 3))[:, None]


def test_a_network_of_ones_own_gets_the_nest():
    torso = make_network(Sum, EnvironmentSpec(NEST, None, None, None), (7,))
    found = torso.apply({}, OBSERVED)
    expected = 1 + np.eye(4)[OBSERVED["numbers"][1]][:, :3]
    expected = expected + OBSERVED["image"].sum(axis=(1, 2, 3))[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- Categories as vectors --------------------------------------------------------


class Everything(nn.Module):
    """A network whose features are its inputs."""

    def __call__(self, x):
        return jnp.concatenate(jax.tree.leaves(x), axis=-1)


CATEGORIES = {
    "cell": specs.BoundedArray((), np.int64, 5, 8),
    "levers": MultiDiscreteArray((2,), np.int64, [0, 4], [2, 5]),
    "numbers": specs.Array((3,), np.float32),
}


def test_categories_become_vectors_and_all_else_stays():
    spec = EnvironmentSpec(CATEGORIES, None, None, None)
    torso = make_network(Everything, spec, (), embedding_size=2)
    observed = {
        "cell": np.array([5, 8, 5]),
        "levers": np.array([[0, 4], [2, 5], [2, 4]]),
        "numbers": np.arange(9, dtype=np.float32).reshape(3, 3),
    }
    parameters = torso.init(jax.random.key(0), observed)
    tables = parameters["params"]["preparation"]
    cells, levers = (np.asarray(tables[f"Embed_{i}"]["embedding"]) for i in (0, 1))
    assert (cells.shape, levers.shape) == ((4, 2), (3 + 2, 2))
    parts = cells[[0, 3, 0]], levers[[0, 2, 2]], levers[[3, 4, 3]], observed["numbers"]
    found = jax.jit(torso.apply)(parameters, observed)
    np.testing.assert_array_equal(found, np.concatenate(parts, axis=-1))


def test_the_frames_of_a_stack_share_their_vectors():
    stack = specs.BoundedArray((2,), np.uint8, 0, 2)
    spec = EnvironmentSpec(stack, None, None, None, 2)
    embedding = Embedding(preparation_of(spec, "auto"), 4)
    stacks = np.array([[0, 2], [2, 1], [2, 2]], np.uint8)
    parameters = embedding.init(jax.random.key(0), stacks)
    table = np.asarray(parameters["params"]["Embed_0"]["embedding"])
    assert table.shape == (3, 4)
    found = jax.jit(embedding.apply)(parameters, stacks)
    np.testing.assert_array_equal(found, table[stacks])
    # Dense layers take them one after the other.
    torso = make_network("auto", spec, (7,), embedding_size=4)
    shapes = jax.eval_shape(torso.init, jax.random.key(0), stacks)
    assert shapes["params"]["network"]["Dense_0"]["kernel"].shape == (8, 7)


@pytest.mark.parametrize(
    "category",
    [
        specs.BoundedArray((), np.int64, 10, 12),
        specs.BoundedArray((), np.int8, -128, -126),
        MultiDiscreteArray((2,), np.int64, [10, 20], [12, 29]),
    ],
)
def test_zeros_that_are_no_category_have_no_nan(category):
    """They stand for the steps that an unroll is padded with."""
    spec = EnvironmentSpec(category, None, None, None)
    torso = make_network("mlp", spec, (7,), embedding_size=2)
    zeros = spec.zero_observations(3)
    parameters = torso.init(jax.random.key(0), zeros)
    assert np.isfinite(jax.jit(torso.apply)(parameters, zeros)).all()


def test_all_values_of_a_byte_have_vectors_of_their_own():
    byte = specs.BoundedArray((), np.int8, -128, 127)
    spec = EnvironmentSpec(byte, None, None, None)
    embedding = Embedding(preparation_of(spec, "auto"), 1)
    values = np.arange(-128, 128).astype(np.int8)
    parameters = embedding.init(jax.random.key(0), values)
    table = np.asarray(parameters["params"]["Embed_0"]["embedding"])
    np.testing.assert_array_equal(embedding.apply(parameters, values), table)


def test_without_an_embedding_no_parameter_is_its():
    spec = EnvironmentSpec(NEST, None, None, None)
    parameters = make_network("auto", spec, (7,)).init(jax.random.key(0), OBSERVED)
    assert set(parameters["params"]) == {"network"}
