"""Observations of one array or of several, array by array."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree

from acmelike.types import Nested


def put(kept: Nested, index: Any, observation: Nested) -> None:
    """Writes an observation to `kept[index]`; both are nested alike."""
    if isinstance(kept, np.ndarray):  # A third of the time, in every step.
        kept[index] = observation
        return
    arrays = optree.tree_leaves(observation)
    for array, new in zip(optree.tree_leaves(kept), arrays, strict=True):
        array[index] = new


def pick(kept: Nested, index: Any) -> Nested:
    """The observations `kept[index]`, nested as `kept`."""
    if isinstance(kept, np.ndarray):
        return kept[index]
    return optree.tree_map(lambda array: array[index], kept)


def columns_of(nest: Nested) -> Nested:
    """The name of the shared column of each array, in the place of the array.

    It is "o_t", or such as "o_t/arm/position" where there are several.
    """
    return optree.tree_map_with_path(
        lambda path, _: "/".join(["o_t", *map(str, path)]), nest
    )
