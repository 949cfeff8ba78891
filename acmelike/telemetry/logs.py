"""The log of a run: all of it goes to a file, warnings also to the terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acmelike.errors import ConfigError, NodeFailed


class _LogFile(logging.FileHandler):
    """A log file that drops what a full disk has no room for, without a message."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Terminal(logging.Handler):
    """Writes to the present `sys.stderr`; a live table replaces it while it shows."""

    def emit(self, record: logging.LogRecord) -> None:
        # The terminal or the pipe may be closed, or lack a letter.
        with suppress(OSError, ValueError):
            print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Writes the log of acmelike to a file while the block runs.

    An error that leaves the block is logged with its traceback, except `ConfigError`,
    which the command line prints, and `NodeFailed`, which is logged where it occurs.

    Args:
      path: of the file.
    """
    logger = logging.getLogger("acmelike")
    file = _LogFile(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal = _Terminal()
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    # Errors are not shown here: they end the run, and its caller reports them once.
    terminal.addFilter(lambda record: record.levelno == logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in (file, terminal):
        logger.addHandler(handler)
    try:
        yield
    except (ConfigError, NodeFailed):
        raise
    except Exception as error:
        logger.error("the run failed: %s", error, exc_info=True)
        raise
    finally:
        for handler in (file, terminal):
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        try:
            file.close()
        except OSError:
            pass
