"""Where the framework's log goes: everything to a file, warnings to the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Writes the log, tracebacks included, to a file while the block runs."""
    logger = logging.getLogger("acmelike")
    file = logging.FileHandler(path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    # Errors end the run, and whoever launched it tells them once.
    terminal.addFilter(lambda record: record.levelno == logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in (file, terminal):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, terminal):
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        file.close()
