"""Convolutions whose gradients are fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_CHUNK = 16  # Images.
# For the height and the width: the number of zeros before and after.
_Padding: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class Conv(nn.Module):
    """A convolution with a bias: images `[B, H, W, C]` to `[B, H', W', F]`.

    It computes what flax's `Conv` does, with the same parameters. But XLA's compiler
    for CPUs rewrites a convolution for its fast kernels only outside of loops. Agents
    make several updates in a loop, and there the gradient of flax's layer takes more
    than ten times as long.

    Attributes:
      features: F.
      kernel_size: height and width of the kernel's window.
      strides: of the window, down and across.
      padding: "VALID" for none; "SAME" for an output of H / stride by W / stride.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Literal["SAME", "VALID"] = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = *self.kernel_size, x.shape[-1], self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        down, across = lax.padtype_to_pads(
            x.shape[1:3], self.kernel_size, self.strides, self.padding
        )
        return convolve(x, kernel, self.strides, (down, across)) + bias


def convolve(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: _Padding
) -> jax.Array:
    """Images `[B, H, W, C]` and a kernel `[h, w, C, F]` to `[B, H', W', F]`.

    Args:
      x: the images.
      kernel: the kernel.
      strides: of the window, down and across.
      padding: rows of zeros above and below, columns left and right.
    """
    # If the learner's device was set, it need not be JAX's default backend.
    device: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    platform = jax.default_backend() if device is None else device
    is_cpu = getattr(platform, "platform", platform) == "cpu"
    return (_convolve_on_cpu if is_cpu else _convolve)(x, kernel, strides, padding)


def _convolve(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: _Padding
) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=_LAYOUT
    )


_convolve_on_cpu = jax.custom_vjp(_convolve, nondiff_argnums=(2, 3))


def _forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: _Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(x, kernel, strides, padding), (x, kernel)


def _backward(
    strides: tuple[int, int],
    padding: _Padding,
    inputs: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The gradients of images and kernel, from that of the output `[B, H', W', F]`."""
    x, kernel = inputs
    return (
        _gradient_of_images(kernel, strides, padding, x.shape, gradient),
        _gradient_of_kernel(x, strides, padding, kernel.shape, gradient),
    )


# Both gradients are convolutions. Here they have the only layout that XLA's compiler
# for CPUs does not have to rewrite.


def _gradient_of_kernel(
    x: jax.Array,
    strides: tuple[int, int],
    padding: _Padding,
    shape: tuple[int, ...],
    gradient: jax.Array,
) -> jax.Array:
    """The gradient of the kernel, of this shape: a sum over a few images at a time.

    The data of a few images stays in a core's caches. For 160 frames of Atari, the
    first layer of "nature" takes a third of the time that it takes with all at once.
    """
    num_chunks = len(x) // _CHUNK
    first = num_chunks * _CHUNK
    of_chunk = partial(
        _gradient_of_kernel_at_once, strides=strides, padding=padding, shape=shape
    )
    chunks = jax.tree.map(
        lambda a: a[:first].reshape(num_chunks, _CHUNK, *a.shape[1:]), (x, gradient)
    )
    total, _ = lax.scan(
        lambda total, chunk: (total + of_chunk(*chunk), None),
        jnp.zeros(shape, gradient.dtype),
        chunks,
    )
    return total if first == len(x) else total + of_chunk(x[first:], gradient[first:])


def _gradient_of_kernel_at_once(
    x: jax.Array,
    gradient: jax.Array,
    *,
    strides: tuple[int, int],
    padding: _Padding,
    shape: tuple[int, ...],
) -> jax.Array:
    """The images convolved with the gradient."""
    pads = []
    for axis in (0, 1):
        last = strides[axis] * (gradient.shape[1 + axis] - 1)
        before = padding[axis][0]
        pads.append((before, shape[axis] + last - x.shape[1 + axis] - before))
    of_kernel = lax.conv_general_dilated(
        jnp.transpose(x, (3, 1, 2, 0)),
        jnp.transpose(gradient, (1, 2, 0, 3)),
        (1, 1),
        pads,
        rhs_dilation=strides,
        dimension_numbers=_LAYOUT,
    )
    return jnp.transpose(of_kernel, (1, 2, 0, 3))


def _gradient_of_images(
    kernel: jax.Array,
    strides: tuple[int, int],
    padding: _Padding,
    shape: tuple[int, ...],
    gradient: jax.Array,
) -> jax.Array:
    """The gradient of the images, of this shape: a convolution with the kernel.

    With a stride, images are cut into blocks of the strides' size. Then the window goes
    from block to block, and its kernel has the pixels of a block as channels. So no
    product is made with the zeros that would otherwise stand between the strides.
    """
    (height, width, channels, features), (down, across) = kernel.shape, strides
    rows, columns = -(-height // down), -(-width // across)
    filled = jnp.pad(
        kernel,
        [(0, rows * down - height), (0, columns * across - width), (0, 0), (0, 0)],
    )
    filled = filled.reshape(rows, down, columns, across, channels, features)
    by_block = jnp.transpose(filled[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))
    blocks = lax.conv_general_dilated(
        gradient,
        by_block.reshape(rows, columns, features, -1),
        (1, 1),
        [(rows - 1, rows - 1), (columns - 1, columns - 1)],
        dimension_numbers=_LAYOUT,
    )
    size, up, left = blocks.shape[:3], padding[0][0], padding[1][0]
    apart = jnp.transpose(
        blocks.reshape(*size, down, across, channels), (0, 1, 3, 2, 4, 5)
    )
    whole = apart.reshape(size[0], size[1] * down, size[2] * across, channels)
    # Without the padding, and with zeros where no window reaches.
    cut = [
        (0, 0, 0),
        (-up, shape[1] + up - whole.shape[1], 0),
        (-left, shape[2] + left - whole.shape[2], 0),
        (0, 0, 0),
    ]
    return lax.pad(whole, jnp.zeros((), whole.dtype), cut)


_convolve_on_cpu.defvjp(_forward, _backward)
