"""The operations of a policy's NumPy text that NumPy itself does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from acmelike.types import Array

Padding = Sequence[tuple[int, int]]


def convolve(
    x: Array, kernel: Array, strides: Sequence[int], padding: Padding
) -> Array:
    """A convolution: `[B, H, W, C]` and `[h, w, C, F]` to `[B, H', W', F]`.

    The product of the kernel with all windows of the input. It takes any number of
    spatial axes; `strides` and `padding` have one element for each.
    """
    num_axes = kernel.ndim - 2
    axes = tuple(range(1, num_axes + 1))
    if any(map(any, padding)):
        x = np.pad(x, ((0, 0), *padding, (0, 0)))
    windows = sliding_window_view(x, kernel.shape[:num_axes], axis=axes)
    windows = windows[(slice(None), *(slice(None, None, step) for step in strides))]
    # [B, H', W', C, h, w] with [h, w, C, F].
    last = windows.ndim
    window_axes = [num_axes + 1, *range(last - num_axes, last)]
    kernel_axes = [num_axes, *range(num_axes)]
    return np.tensordot(windows, kernel, (window_axes, kernel_axes))


def reduce_windows(
    reduction: np.ufunc,
    x: Array,
    sizes: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    initial: float,
) -> Array:
    """Reduces every window of `x` to one number, such as its maximum.

    Args:
      reduction: of two numbers, such as `np.maximum`.
      x: any number of axes; the next three have one element for each.
      sizes: of a window.
      strides: from window to window.
      padding: before and after.
      initial: what `x` is padded with; it changes the result of no window.
    """
    if any(map(any, padding)):
        x = np.pad(x, tuple(padding), constant_values=initial)
    found = None
    for offsets in product(*map(range, sizes)):
        part = x[
            tuple(
                slice(offset, length - size + offset + 1, stride)
                for offset, length, size, stride in zip(
                    offsets, x.shape, sizes, strides, strict=True
                )
            )
        ]
        found = part if found is None else reduction(found, part)
    assert found is not None
    return np.ascontiguousarray(found)


# The names that a policy's text may use.
TEXT_NAMES: Mapping[str, Any] = {
    "np": np,
    "inf": np.inf,
    "nan": np.nan,
    "convolve": convolve,
    "reduce_windows": reduce_windows,
}
