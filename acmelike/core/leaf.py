"""Leaves: code during which a thread must neither use an edge nor wait.

Methods, guards, constructors and `with updating(...)` blocks are leaves. If one could
call another node, a ring of such calls could wait for each other for ever.
"""

from __future__ import annotations

import threading
from typing import Literal, TypeAlias

from acmelike.errors import ContractError

LeafKind: TypeAlias = Literal["constructor", "method", "guard", "updating"]


class _LeafOfThread(threading.local):
    leaf: leaf | None = None


_thread = _LeafOfThread()


class leaf:
    """Marks that the calling thread runs a leaf.

    Args:
      kind: what sort of code it is.
      what: what messages name it by; its `str` is taken only when it is needed.
    """

    # A class, because a generator would cost as much as the rest of a call.
    __slots__ = ("_outer", "kind", "what")

    def __init__(self, kind: LeafKind, what: object):
        self.kind, self.what = kind, what

    def __str__(self) -> str:
        return f"the guard of {self.what}" if self.kind == "guard" else str(self.what)

    def __enter__(self) -> None:
        self._outer = _thread.leaf
        _thread.leaf = self

    def __exit__(self, *error: object) -> None:
        _thread.leaf = self._outer


def enter(inside: leaf) -> leaf | None:
    """Puts the calling thread into a leaf that threads may share; see `leave`.

    Returns:
      The leaf that the thread was in.
    """
    outer, _thread.leaf = _thread.leaf, inside
    return outer


def leave(outer: leaf | None) -> None:
    """Puts the calling thread back into the leaf that `enter` returned."""
    _thread.leaf = outer


def current_leaf() -> leaf | None:
    """The innermost leaf that the calling thread is in."""
    return _thread.leaf


def refuse_inside_leaf(what: str) -> None:
    """Refuses `what` if the calling thread is inside a leaf.

    Raises:
      ContractError: it is.
    """
    inside = _thread.leaf
    if inside is not None:
        raise ContractError(f"{inside} may not use an edge or wait: it used {what}")
