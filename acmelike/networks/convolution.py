"""Convolutions whose gradients are fast on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Of the height and the width: rows before and after.
_Padding: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class Conv(nn.Module):
    """A convolution with a bias: images `[B, H, W, C]` to `[B, H', W', F]`.

    It is what flax's `Conv` is, with the same parameters. But XLA's compiler for CPUs
    rewrites a convolution for its fast kernels only outside of loops. Agents make
    several updates in a loop, and there the gradient of flax's layer takes more than
    ten times as long.

    Attributes:
      num_features: F.
      window: height and width of the window.
      strides: of the window, down and across.
      padding: "VALID" for none; "SAME" for an output of H / stride by W / stride.
    """

    num_features: int
    window: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Literal["SAME", "VALID"] = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = *self.window, x.shape[-1], self.num_features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.num_features,))
        sides = x.shape[1:3]
        down, across = lax.padtype_to_pads(
            sides, self.window, self.strides, self.padding
        )
        return convolve(x, kernel, self.strides, (down, across)) + bias


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
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
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=_LAYOUT
    )


def _forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: _Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, strides, padding), (x, kernel)


def _backward(
    strides: tuple[int, int],
    padding: _Padding,
    inputs: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The gradients of images and kernel, from that of the output `[B, H', W', F]`."""
    x, kernel = inputs
    if jax.default_backend() != "cpu":
        plain = partial(
            lax.conv_general_dilated,
            window_strides=strides,
            padding=padding,
            dimension_numbers=_LAYOUT,
        )
        of_x, of_kernel = jax.vjp(plain, x, kernel)[1](gradient)
        return of_x, of_kernel
    # Both are convolutions; here they have the one layout that needs no rewriting.
    axes = range(2)
    window = kernel.shape[:2]
    # How far the windows reach, from the first row of the first to the last's first.
    reach = [strides[i] * (gradient.shape[1 + i] - 1) for i in axes]
    before = [padding[i][0] for i in axes]
    after = [window[i] + reach[i] - x.shape[1 + i] - before[i] for i in axes]
    of_kernel = lax.conv_general_dilated(
        jnp.transpose(x, (3, 1, 2, 0)),
        jnp.transpose(gradient, (1, 2, 0, 3)),
        (1, 1),
        [(before[i], after[i]) for i in axes],
        rhs_dilation=strides,
        dimension_numbers=_LAYOUT,
    )
    of_x = lax.conv_general_dilated(
        gradient,
        jnp.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)),
        (1, 1),
        [(window[i] - 1 - before[i], window[i] - 1 - after[i]) for i in axes],
        lhs_dilation=strides,
        dimension_numbers=_LAYOUT,
    )
    return of_x, jnp.transpose(of_kernel, (1, 2, 0, 3))


convolve.defvjp(_forward, _backward)
