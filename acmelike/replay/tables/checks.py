"""Refusals of what callers give to a table, before anything is changed."""

from __future__ import annotations

import numpy as np

from acmelike.types import Array


def checked_keys(table: str, keys: Array) -> Array:
    """Keys as `[n]` int64.

    Raises:
      ValueError: they are something else.
    """
    keys = np.asarray(keys)
    if keys.ndim != 1 or keys.dtype.kind not in "iu":
        raise ValueError(
            f"table '{table}': expected keys of integers with shape [n], "
            f"got {keys.dtype} {list(keys.shape)}"
        )
    return keys.astype(np.int64, copy=False)


def checked_priorities(table: str, priorities: Array, num_items: int) -> Array:
    """Priorities as `[num_items]` float64.

    Raises:
      ValueError: they have another shape, or one is negative or not finite.
    """
    priorities = np.asarray(priorities, np.float64)
    if priorities.shape != (num_items,):
        raise ValueError(
            f"table '{table}': expected priorities of shape ({num_items},), "
            f"got {priorities.shape}"
        )
    # Either place is that of a NaN if there is one.
    for place in (priorities.argmin(), priorities.argmax()) if num_items else ():
        if not 0 <= priorities[place] < np.inf:
            raise ValueError(
                f"table '{table}': expected finite priorities >= 0, "
                f"got {priorities[place]}"
            )
    return priorities
