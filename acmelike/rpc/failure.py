"""Exceptions on their way to another process."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple

import cloudpickle

from acmelike.errors import AcmelikeError, RpcError, RpcFailed, describe


class RemoteTraceback(Exception):
    """The text of a traceback, mostly of another process; a cause of errors."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0].rstrip()}"


class WireError(NamedTuple):
    """An exception as data.

    Attributes:
      pickled: the exception; None if it cannot be made again from a pickle.
      words: its type and message.
      traceback: its text.
      notes: added to it on its way.
    """

    pickled: bytes | None
    words: str
    traceback: str
    notes: tuple[str, ...]


def to_wire(error: BaseException) -> WireError:
    """An exception as data, whatever its own methods do."""
    text = _traceback_text(error)
    notes = tuple(map(str, getattr(error, "__notes__", ())))
    return WireError(_pickled(error), describe(error), text, notes)


def without_frames(error: BaseException) -> RpcError:
    """An error with the words of another one, whose cause is its traceback as text.

    It can be kept: unlike the exception it has no frames, whose variables would live as
    long as it does, and often keep the error in turn.
    """
    found = RpcError(describe(error))
    found.__cause__ = RemoteTraceback(_traceback_text(error))
    return found


def from_wire(parts: Any) -> BaseException:
    """The exception in its own type where that can be, otherwise an RpcFailed."""
    pickled, words, text, notes = parts
    error: BaseException = RpcFailed(words)
    if pickled is not None:
        try:
            error = _unpickled(pickled)
        except BaseException:
            pass  # Its class does not exist here, or its code fails; its words remain.
    with suppress(Exception):  # A frozen dataclass takes neither.
        error.__notes__ = list(notes)
        error.__cause__ = RemoteTraceback(text)
    return error


# Frames of these say nothing to whoever wrote what they call.
_CALLERS = ("acmelike.launchers.", "acmelike.rpc.", "acmelike.core.")
_OURS, _BUT = "acmelike.", ("acmelike.agents.", "acmelike.programs.")


def _traceback_text(error: BaseException) -> str:
    try:
        return "".join(_shown(error).format())
    except Exception:  # Of the exception's own methods.
        frames = _without_callers(error.__traceback__)
        return "".join(traceback.format_tb(frames)) + describe(error)


def _shown(error: BaseException) -> traceback.TracebackException:
    """An error and its causes, each with the frames that say where it comes from."""
    cause = error.__cause__
    frames = _without_callers(error.__traceback__)
    if cause is not None and isinstance(error, AcmelikeError):
        frames = None  # Such as of an environment's fault, whose cause has them.
    shown = traceback.TracebackException(type(error), error, frames)
    if cause is not None:
        shown.__cause__ = _shown(cause)
    return shown


def _without_callers(frames: TracebackType | None) -> TracebackType | None:
    """The frames from the first one on that is not of this package.

    If there is none, from the first of a node's code on, or all.
    """
    return (
        _from(frames, lambda name: not name.startswith(_OURS) or name.startswith(_BUT))
        or _from(frames, lambda name: not name.startswith(_CALLERS))
        or frames
    )


def _from(
    frames: TracebackType | None, is_wanted: Callable[[str], bool]
) -> TracebackType | None:
    while frames is not None:
        if is_wanted(str(frames.tb_frame.f_globals.get("__name__", ""))):
            return frames
        frames = frames.tb_next
    return None


def _pickled(error: BaseException) -> bytes | None:
    """A pickle that was unpickled as a test, which fails for some exceptions."""
    for value in (error, _Parts(type(error), error.args, dict(error.__dict__))):
        try:
            pickled = cloudpickle.dumps(value)
            if type(_unpickled(pickled)) is type(error):
                return bytes(pickled)
        except BaseException:
            continue  # Code of the exception's class may even exit.
    return None


class _Parts(NamedTuple):
    """The data that rebuilds an exception without calling its `__init__`.

    Pickle calls the class with `args`, which fails for a class whose `__init__` takes
    something else than the message.
    """

    kind: type[BaseException]
    args: tuple[Any, ...]
    attributes: dict[str, Any]


def _unpickled(pickled: bytes) -> BaseException:
    value = pickle.loads(pickled)
    if isinstance(value, _Parts):
        error = value.kind.__new__(value.kind, *value.args)
        error.args = value.args
        error.__dict__.update(value.attributes)
        return error
    if not isinstance(value, BaseException):
        raise TypeError(f"not an exception: {type(value).__name__}")
    return value
