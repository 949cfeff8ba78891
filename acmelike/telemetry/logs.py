"""Where the framework's log goes: everything to a file, warnings to the terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acmelike.errors import ConfigError, NodeFailed


class _LogFile(logging.FileHandler):
    """A file that a full disk may cut short, without a word on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Terminal(logging.Handler):
    """Standard error as it is at the moment: above a live table, while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # Nobody may read on.
            print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Writes the log, tracebacks included, to a file while the block runs.

    An error that leaves the block is logged too.
    """
    logger = logging.getLogger("acmelike")
    file = _LogFile(path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal = _Terminal()
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
    except (ConfigError, NodeFailed):
        raise  # The user's mistake, which is told; or logged where it happened.
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
