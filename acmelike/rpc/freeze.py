"""Makes the arrays that cross an edge read-only."""

from __future__ import annotations

import copy
import dataclasses
from operator import is_not
from typing import Any

import numpy as np

# Of these types there is nothing to freeze.
ATOMS = frozenset({int, float, str, bool, bytes, type(None)})


def freeze(value: Any) -> Any:
    """`value` with every array in it read-only; it copies only where it has to.

    An array that owns its memory is frozen in place, for the sender too. A sender that
    wants to write to the array afterwards sends a copy. A writable view is copied,
    because the owner of its memory could still write to it. Arrays are found in tuples,
    lists, dicts and dataclasses.
    """
    kind = type(value)
    if kind is np.ndarray:
        return _frozen(value)
    if kind in ATOMS:
        return value
    if kind is tuple or isinstance(value, (tuple, list)):
        for part in value:  # Not `all`: a loop takes half the time for few parts.
            if type(part) not in ATOMS:
                break
        else:
            return value
        parts = [freeze(part) for part in value]
        if not any(map(is_not, parts, value)):
            return value
        return kind(*parts) if hasattr(value, "_fields") else kind(parts)
    if isinstance(value, dict):
        if not value:
            return value
        parts = [freeze(part) for part in value.values()]
        if not any(map(is_not, parts, value.values())):
            return value
        frozen = {} if kind is dict else copy.copy(value)  # Such as a defaultdict.
        frozen.update(zip(value, parts, strict=True))
        return frozen
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        changed = {
            name: new for name, part in old.items() if (new := freeze(part)) is not part
        }
        if not changed:
            return value
        new = copy.copy(value)  # Its `__init__` may not take every field.
        for name, part in changed.items():
            object.__setattr__(new, name, part)
        return new
    return value


def _frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    flags = array.flags
    if flags.writeable:
        if not flags.owndata:
            array = array.copy()
        array.flags.writeable = False
    return array
