"""The live table on a terminal, for as long as a run lasts."""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live

from acmelike.launchers import Run
from acmelike.telemetry.snapshot import Snapshot
from acmelike.telemetry.terminal.live_view import Facts, live_view

REFRESH_SECONDS = 0.5
PACE_SNAPSHOTS = 20  # The time left is judged by the last ten seconds.


class TakeSnapshots(Protocol):
    """What a `Probe` does."""

    def look(self) -> Snapshot:
        """The run now."""


def find_terminal() -> Console | None:
    """The terminal that stdout is, if it can show a live table."""
    console = Console(highlight=False)
    is_able = (
        sys.stdout.isatty()
        and console.is_terminal
        and not console.is_dumb_terminal
        and not console.no_color
        and console.encoding.startswith("utf")
    )
    return console if is_able else None


def watch_live(run: Run, probe: TakeSnapshots, facts: Facts, console: Console) -> str:
    """Shows the table until the run ends, however it does; returns why it did."""
    history = deque[Snapshot](maxlen=PACE_SNAPSHOTS)

    def show(live: _Table) -> None:
        history.append(probe.look())
        # The last line stays free for what the terminal or a signal handler writes.
        lines = live_view(facts, list(history), console.width, console.height - 1)
        with _signals_held():
            live.update(Group(*lines, ""), refresh=True)

    with _Table(console) as live:
        while not run.is_over(within=REFRESH_SECONDS):
            show(live)
        try:
            return run.wait()
        finally:
            show(live)


class _Table(Live):
    """A `Live` that an interrupt leaves as it is.

    Whoever handles the signal has written below it, and painting anew would erase that.
    """

    def __init__(self, console: Console):
        # What goes to another place than this terminal must go on doing so.
        super().__init__(
            console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()
        )
        self._is_interrupted = False

    def refresh(self) -> None:
        if not self._is_interrupted:
            super().refresh()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_interrupted = isinstance(error, KeyboardInterrupt)
        super().__exit__(kind, error, traceback)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Lets a Ctrl-C or a polite `kill` wait until the block, a short one, is over.

    In the middle of a painting it would leave half of it to be painted later.
    """
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
