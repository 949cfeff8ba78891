"""Large arrays whose memory is allocated on first write."""

from __future__ import annotations

import contextlib
import math
import mmap
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from acmelike.types import Array

_MAP_NORESERVE = 0x4000  # Python's `mmap` has it from 3.11 on.
# From this size on, in bytes, huge pages of 2 MiB that are hardly used waste little.
_LARGE = 2**24


def lazy_zeros(shape: Sequence[int], dtype: DTypeLike) -> Array:
    """An array of zeros whose pages are allocated on first write.

    On Linux it may be larger than the machine's memory, as it only reserves address
    space. Elsewhere it is `numpy.zeros`.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if sys.platform != "linux" or num_bytes < mmap.PAGESIZE:
        return np.zeros(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    memory = mmap.mmap(-1, num_bytes, flags=flags)
    if num_bytes >= _LARGE:
        # Samples read rows from all over a large array. They miss the data caches in
        # any case; huge pages avoid missing the address caches as well. A kernel
        # without huge pages refuses.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def grown(array: Array, num_rows: int) -> Array:
    """A copy of `array` with zeros appended, `num_rows` rows in all."""
    larger = lazy_zeros((num_rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
