"""The live table on a terminal, while a run lasts."""

from __future__ import annotations

import builtins
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live

from acmelike.launchers import Run
from acmelike.telemetry.snapshot import RunSnapshot
from acmelike.telemetry.terminal.live_view import Facts, live_view

REFRESH_SECONDS = 0.5
PACE_SNAPSHOTS = 20  # The pace is that of the last ten seconds.


class SnapshotSource(Protocol):
    """A `Probe`, or what stands for one in a test."""

    def take(self) -> RunSnapshot:
        """Returns a snapshot of the run as it is now."""


def find_terminal() -> Console | None:
    """Returns the terminal that stdout writes to; None if it cannot show a table."""
    console = Console(highlight=False)
    is_able = (
        sys.stdout is not None  # As it is where stdout is closed.
        and sys.stdout.isatty()
        and console.is_terminal
        and not console.is_dumb_terminal
        and not console.no_color
        and console.encoding.startswith("utf")
    )
    return console if is_able else None


def watch_live(run: Run, probe: SnapshotSource, facts: Facts, console: Console) -> str:
    """Shows the table until the run ends; returns the reason of the end.

    Raises:
      RunError: the run failed; the table shows its last state.
    """
    history = deque[RunSnapshot](maxlen=PACE_SNAPSHOTS)

    def show(live: _Table, *, is_over: bool) -> None:
        history.append(probe.take())
        # The last line stays free: the terminal or a signal handler may write there.
        width, height = console.width, console.height - 1
        lines = live_view(facts, list(history), width, height, is_over=is_over)
        with _signals_held():
            if live.is_started:
                live.update(Group(*lines, ""), refresh=True)
            elif is_over:
                console.print(*lines, sep="\n")

    with _Table(console) as live, _giving_way(live):
        while not run.is_over(within=REFRESH_SECONDS):
            show(live, is_over=False)
        try:
            return run.wait()
        finally:
            show(live, is_over=True)


class _Table(Live):
    """A `Live` that stops drawing after an interrupt, or if its terminal is closed.

    The signal handler has printed a line below the table; redrawing would erase it.
    Drawing on a closed terminal fails, which must not end the run.
    """

    def __init__(self, console: Console):
        # A stderr that is redirected to a file must not be drawn above the table.
        super().__init__(
            console=console,
            auto_refresh=False,
            # It is None where it is closed.
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
        )
        self._is_interrupted = False

    def refresh(self) -> None:
        if self._is_interrupted:
            return
        try:
            super().refresh()
        except (OSError, ValueError):
            # Rich keeps what it could not write, and would add to it each time.
            self.console.quiet = True
            self.console.control()  # Drops it.
            self.console.quiet = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_interrupted = isinstance(error, KeyboardInterrupt)
        with suppress(OSError, ValueError):
            super().__exit__(kind, error, traceback)


class _BreakpointHook:
    """Stops the table for good when `breakpoint()` is first called, and says so.

    A debugger stops in the frame that has called it, which must be the user's. A method
    of this class would put its own frame between the two. So `__call__` is a property:
    Python evaluates it, which stops the table, and then calls what it returns.

    Args:
      table: to stop.
      hook: what `breakpoint()` calls otherwise.
    """

    def __init__(self, table: _Table, hook: Callable[..., Any]):
        self._table, self._hook = table, hook

    @property
    def __call__(self) -> Callable[..., Any]:
        if self._table.is_started:
            self._table.stop()
            self._table.console.print(
                "at a breakpoint: the live table stops here, and is shown at the end"
            )
        return self._hook


class _Stdin:
    """Standard input that stops the table for good when it is first read.

    Args:
      table: to stop.
      file: what is read.
    """

    def __init__(self, table: _Table, file: TextIO):
        self._table, self._file = table, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, *args: Any) -> str:
        self._table.stop()
        return self._file.read(*args)

    def readline(self, *args: Any) -> str:
        self._table.stop()
        return self._file.readline(*args)

    def readlines(self, *args: Any) -> list[str]:
        self._table.stop()
        return self._file.readlines(*args)

    def __enter__(self) -> TextIO:
        return self._file.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._table.stop()
        return next(self._file)


@contextmanager
def _giving_way(table: _Table) -> Iterator[None]:
    """Stops the table for good when this process first reads standard input.

    pdb in a node also reads it, by `input`. The table would be drawn over its prompts
    and answers. Other debuggers read the terminal in other ways, so the table stops at
    a `breakpoint()`, too. Nothing is noticed of code that opens the terminal itself or
    reads a file descriptor, such as `getpass`, or IPython without a `breakpoint()`.
    """
    ask, debug, stdin = builtins.input, sys.breakpointhook, sys.stdin

    def stop_and_ask(*args: object) -> str:
        table.stop()
        return ask(*args)

    stop_and_debug: Any = _BreakpointHook(table, debug)
    builtins.input = stop_and_ask
    sys.breakpointhook = stop_and_debug
    if stdin is not None:  # It is None where it is closed.
        stop_and_read: Any = _Stdin(table, stdin)
        sys.stdin = stop_and_read
    try:
        yield
    finally:
        builtins.input = ask
        sys.breakpointhook = debug
        sys.stdin = stdin


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delays SIGINT, SIGTERM and SIGHUP until the block, which is short, has ended.

    A signal in the middle of drawing would leave one half of the table undrawn. Only
    the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Windows has no SIGHUP.
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # A handler that was not installed from Python is None, and stays. So does one that
    # ignores the signal, as SIGHUP's after `nohup`.
    stays = (None, signal.SIG_IGN)
    handlers = {n: h for n in numbers if (h := signal.getsignal(n)) not in stays}
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
