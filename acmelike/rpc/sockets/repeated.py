"""Outcomes that a service returns again, such as its newest parameters."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import optree

from acmelike.rpc.call import Call
from acmelike.rpc.sockets.codec import Payload
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES

_CONSTANTS = (int, float, complex, str, bytes, np.generic, type(None))


class RepeatedOutcomes:
    """Finds the payload of an outcome that was sent before and has not changed.

    So what many callers ask for, at whatever time, is pickled and written into shared
    memory once. The last outcome of each method is remembered, if it is large and
    cannot change, for as long as its service keeps its arrays.
    """

    def __init__(self) -> None:
        self._by_method: dict[str, _Repeated] = {}

    def payload_of(
        self, call: Call, value: Any, make: Callable[[Any], Payload]
    ) -> Payload:
        """The payload of the outcome of a call; `make` makes a new one."""
        if self._by_method:
            last = self._by_method.get(call.target)
            if last is not None:
                if last.is_same(value):
                    return last.payload
                self._drop(call.target)
        payload = make(value)
        if payload.num_bytes >= LARGE_BYTES and payload.on_written is None:
            payload.on_written = partial(self._remember, call.target, value)
        return payload

    def _remember(self, method: str, value: Any, payload: Payload) -> None:
        leaves, structure = _flatten(value)
        if not all(map(_cannot_change, leaves)):
            return
        self._drop(method)
        # Of the arrays, only the memory of this one is worth to be released early.
        largest = max(leaves, key=lambda leaf: getattr(leaf, "nbytes", 0))
        repeated = _Repeated(leaves, structure, payload)
        # Weakly, as it lasts as long as the array.
        end = weakref.finalize(largest, self._forget, method, weakref.ref(repeated))
        repeated.end, end.atexit = end, False
        self._by_method[method] = repeated

    def _forget(self, method: str, known: weakref.ref[_Repeated]) -> None:
        if self._by_method.get(method) is known():
            self._by_method.pop(method, None)

    def _drop(self, method: str) -> None:
        """Releases the payload of a method, though its arrays may live on."""
        last = self._by_method.pop(method, None)
        if last is not None and last.end is not None:
            last.end.detach()


class _Repeated:
    """An outcome and its payload; it does not keep the arrays of the service.

    Attributes:
      payload: of the outcome.
      end: forgets it when the largest of its arrays is collected.
    """

    def __init__(self, leaves: list[Any], structure: Any, payload: Payload):
        self._structure, self.payload = structure, payload
        self.end: weakref.finalize[Any, Any] | None = None
        self._leaves = [
            weakref.ref(leaf) if isinstance(leaf, np.ndarray) else leaf
            for leaf in leaves
        ]

    def is_same(self, value: Any) -> bool:
        """Whether a value has the very same arrays, and otherwise equal leaves."""
        leaves, structure = _flatten(value)
        return structure == self._structure and all(map(_is_same, self._leaves, leaves))


def _is_same(known: Any, leaf: Any) -> bool:
    if isinstance(known, weakref.ref):
        return known() is leaf
    return type(known) is type(leaf) and bool(known == leaf)


def _flatten(value: Any) -> tuple[list[Any], Any]:
    leaves, structure = optree.tree_flatten(value, none_is_leaf=True)
    return leaves, structure


def _cannot_change(leaf: Any) -> bool:
    if not isinstance(leaf, np.ndarray):
        # A record of NumPy can change, as an array can.
        return isinstance(leaf, _CONSTANTS) and not isinstance(leaf, np.void)
    if leaf.dtype.hasobject:
        return False
    # A view that is read-only may be one of memory that is written.
    memory: Any = leaf
    while isinstance(memory, (np.ndarray, memoryview)):
        if isinstance(memory, memoryview):
            is_fixed, memory = memory.readonly, memory.obj
        else:
            is_fixed, memory = not memory.flags.writeable, memory.base
        if not is_fixed:
            return False
    return not isinstance(memory, bytearray)
