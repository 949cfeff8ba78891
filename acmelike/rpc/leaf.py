"""Calls are leaves: where a thread must neither use an edge nor wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from acmelike.errors import ContractError

_thread = threading.local()


@contextmanager
def leaf(what: str) -> Iterator[None]:
    """Marks that the calling thread runs `what`, inside which edges are refused."""
    before = getattr(_thread, "inside", None)
    _thread.inside = what
    try:
        yield
    finally:
        _thread.inside = before


def refuse_inside_leaf(what: str) -> None:
    """Refuses `what` if the calling thread is inside a leaf.

    Raises:
      ContractError: it is. Otherwise rings of calls could deadlock.
    """
    inside = getattr(_thread, "inside", None)
    if inside is not None:
        raise ContractError(f"{inside} may not use an edge or wait: it used {what}")
