"""Keeps the signal handlers when an environment is made only to read its specs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Restores the handlers of SIGINT, SIGTERM and SIGHUP at the end of the block.

    Some simulators install their own handlers when they are made. An environment that
    is made only to read its specs would then replace the handlers that end the run.
    This does nothing outside the main thread, as no handler can be installed there.
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
            if handler is not None:  # Python cannot restore one of C code.
                signal.signal(number, handler)
