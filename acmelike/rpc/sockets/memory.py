"""Memory of this process for what arrives."""

from __future__ import annotations

from typing import Any

import numpy as np

from acmelike.errors import RpcError
from acmelike.rpc.sockets.shared_memory import ALIGNMENT, LARGE_BYTES

# So much address space is taken at once for what a frame says that it has, if it is of
# a program outside of the run, or compressed. Then twice as much is taken, as it fills.
MAX_AHEAD_BYTES = 2**28


def new_memory(num_bytes: int, start: memoryview | None = None) -> memoryview:
    """New memory. If it is large, it is aligned as JAX wants it, and without pages.

    Args:
      num_bytes: its size.
      start: what it begins with; None for anything.

    Raises:
      RpcError: there is not so much.
    """
    if num_bytes < LARGE_BYTES:
        memory = memoryview(bytearray(num_bytes))
    else:
        try:
            array = np.empty(num_bytes + ALIGNMENT, np.uint8)
        except MemoryError:
            words = f"there is no memory for a message of {num_bytes:,} bytes"
            raise RpcError(words) from None
        first = -array.__array_interface__["data"][0] % ALIGNMENT
        memory = array[first : first + num_bytes].data
    if start is not None:
        memory[: len(start)] = start
    return memory


def seal(view: memoryview) -> None:
    """Nobody writes from now on to what `new_memory` made; see `repeated`."""
    memory: Any = view.obj
    while isinstance(memory, np.ndarray):
        memory.flags.writeable = False
        memory = memory.base
