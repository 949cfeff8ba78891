"""Keeps the handlers of signals where an environment is made to look at it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Sets the handlers of SIGINT, SIGTERM and SIGHUP back at the end of the block.

    Some simulators install their own when they are made. An environment that only
    tells its specs would so replace the handlers that end the run. In other threads
    than the main one nothing is done, as none can be installed there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # Python cannot set back one of C code.
                signal.signal(number, handler)
