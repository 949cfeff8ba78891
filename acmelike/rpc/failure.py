"""Exceptions on their way to another process."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import cloudpickle

from acmelike.errors import RpcFailed


class RemoteTraceback(Exception):
    """The text of a traceback of another process; the cause of what is raised here."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0].rstrip()}"


def to_wire(error: BaseException) -> tuple[bytes | None, str, str, tuple[str, ...]]:
    """What `from_wire` makes the error of: itself, its words, traceback and notes."""
    words = f"{type(error).__name__}: {error}".rstrip(": ")
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    notes = tuple(getattr(error, "__notes__", ()))
    try:
        pickled = cloudpickle.dumps(error)
        pickle.loads(pickled)  # Some can be pickled and not made again.
    except Exception:
        pickled = None
    return pickled, words, "".join(lines), notes


def from_wire(parts: Any) -> BaseException:
    """The error in its own type where that can be, otherwise as RpcFailed."""
    pickled, words, lines, notes = parts
    error: BaseException = RpcFailed(words)
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except Exception:
            pass  # Its class does not exist here; its words do.
    error.__notes__ = list(notes)
    error.__cause__ = RemoteTraceback(lines)
    return error
