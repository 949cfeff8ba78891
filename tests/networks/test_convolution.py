from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.networks import Conv

CASES = [
    # Height, width, window, strides, padding.
    (10, 12, (3, 3), (1, 1), "SAME"),
    (10, 12, (3, 4), (2, 3), "VALID"),
    (11, 13, (8, 8), (4, 4), "VALID"),
    (11, 13, (3, 5), (2, 2), "SAME"),
    (7, 9, (1, 1), (1, 1), "VALID"),
    (9, 10, (2, 2), (3, 3), "SAME"),
]


def layers(window, strides, padding):
    """Ours, and flax's own."""
    return Conv(4, window, strides, padding), nn.Conv(
        4, window, strides, padding=padding
    )


@pytest.mark.parametrize("num_images", [1, 19])
@pytest.mark.parametrize(("height", "width", "window", "strides", "padding"), CASES)
def test_it_is_the_layer_of_flax(num_images, height, width, window, strides, padding):
    random = np.random.default_rng(0)
    x = random.normal(size=(num_images, height, width, 3)).astype(np.float32)

    def run(layer):
        """Parameters, output, and gradients of parameters and images."""
        parameters = layer.init(jax.random.key(0), x)
        output, gradients_of = jax.vjp(layer.apply, parameters, x)
        above = jax.random.normal(jax.random.key(1), output.shape)
        return parameters, output, gradients_of(above)

    # Compiled as a whole: one operation at a time takes four times as long.
    ours, theirs = (
        jax.jit(partial(run, layer))() for layer in layers(window, strides, padding)
    )
    jax.tree.map(np.testing.assert_array_equal, ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        ours[2],
        theirs[2],
    )


@pytest.mark.parametrize(("index", "is_fast"), [(0, True), (1, False)])
def test_in_a_loop_a_cpu_gets_convolutions_that_it_has_kernels_for(index, is_fast):
    """Those of the layer of flax stay as they are, which is why ours exists."""
    layer = layers((3, 3), (2, 2), "VALID")[index]
    x = jnp.ones((5, 2, 9, 9, 3))
    parameters = layer.init(jax.random.key(0), x[0])

    def loss(parameters, x):
        return jnp.sum(layer.apply(parameters, x) ** 2)

    def descend(parameters, x):
        gradients = jax.grad(loss)(parameters, x)
        return jax.tree.map(lambda p, g: p - 0.01 * g, parameters, gradients), None

    loop = jax.jit(lambda parameters, x: jax.lax.scan(descend, parameters, x)[0])
    text = loop.lower(parameters, x).compile().as_text()
    lines = [line for line in text.splitlines() if " convolution(" in line]
    assert len(lines) == 2
    rewritten = ["dim_labels=b01f_01io->b01f" in line for line in lines]
    assert all(rewritten) is is_fast


@pytest.mark.parametrize(("backend", "is_plain"), [("gpu", True), ("cpu", False)])
def test_only_on_a_cpu_the_gradient_is_its_own(backend, is_plain, monkeypatch):
    """Compilers for GPUs find their own kernels for that of JAX."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x = jnp.ones((2, 9, 9, 3))
    parameters = layers((3, 3), (2, 2), "SAME")[1].init(jax.random.key(0), x)

    def gradient(layer):
        def loss(parameters):
            return jnp.sum(layer.apply(parameters, x))

        return jax.make_jaxpr(jax.grad(loss))(parameters)

    ours, theirs = (
        str(gradient(layer)).count("conv_general_dilated[")
        for layer in layers((3, 3), (2, 2), "SAME")
    )
    assert (ours == theirs) is is_plain
