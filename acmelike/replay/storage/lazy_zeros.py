"""Large arrays that take memory only where they were written."""

from __future__ import annotations

import contextlib
import math
import mmap
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from acmelike.types import Array

# In `mmap` from Python 3.11 on.
_MAP_NORESERVE = 0x4000
_LARGE = 2**24  # Bytes, from which on a page of 2 MiB that is hardly used is little.


def lazy_zeros(shape: Sequence[int], dtype: DTypeLike) -> Array:
    """An array of zeros whose size is a limit and no demand.

    On Linux it may be larger than the machine's memory: it is address space, and pages
    come with the first write to each. Elsewhere it is what `numpy.zeros` makes.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if sys.platform != "linux" or num_bytes < mmap.PAGESIZE:
        return np.zeros(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    memory = mmap.mmap(-1, num_bytes, flags=flags)
    if num_bytes >= _LARGE:
        # What is drawn from all over a large array misses the caches anyway, and would
        # miss those of addresses too. Where the system has no such pages, it refuses.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def grown(array: Array, num_rows: int) -> Array:
    """An array of so many rows, of which the first are copies of those of `array`."""
    larger = lazy_zeros((num_rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
