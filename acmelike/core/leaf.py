"""Calls are leaves: where a thread must neither use an edge nor wait."""

from __future__ import annotations

import threading

from acmelike.errors import ContractError

_thread = threading.local()


class leaf:
    """Marks that the calling thread runs `what`, inside which edges are refused."""

    # A class, because a generator would cost as much as the rest of a call.
    __slots__ = ("_before", "_what")

    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        self._before = getattr(_thread, "inside", None)
        _thread.inside = self._what

    def __exit__(self, *error: object) -> None:
        _thread.inside = self._before


def refuse_inside_leaf(what: str) -> None:
    """Refuses `what` if the calling thread is inside a leaf.

    Raises:
      ContractError: it is. Otherwise rings of calls could deadlock.
    """
    inside = getattr(_thread, "inside", None)
    if inside is not None:
        raise ContractError(f"{inside} may not use an edge or wait: it used {what}")
