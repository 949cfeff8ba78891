"""A command's process: what signals do to it, and with which status it exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NoReturn, TextIO, TypeVar

from acmelike.errors import AcmelikeError, ConfigError, first_line

T = TypeVar("T")

INTERRUPTED = 130  # The status that shells report for a process that Ctrl-C ended.
SECONDS_TO_END = 4.5  # From the first Ctrl-C until the process exits in any case.


def run_process(main: Callable[[], int]) -> NoReturn:
    """Runs `main` and exits the process with the status that it returns.

    The first SIGINT (Ctrl-C), SIGTERM or SIGHUP, which comes when a terminal is closed,
    raises KeyboardInterrupt in `main`. A second one ends the process at once. So does a
    timer, if `main` has not returned `SECONDS_TO_END` after the first.
    """
    prepare_process()
    interrupts = _Interrupts()
    signal.signal(signal.SIGINT, interrupts.start)
    signal.signal(signal.SIGTERM, interrupts.start)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # As after `nohup`.
        signal.signal(signal.SIGHUP, interrupts.start)
    signal.signal(signal.SIGALRM, interrupts.interrupt)
    sys.unraisablehook = interrupts.retry_if_dropped
    try:
        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # For example `... --help | head`: stdout is closed.
        status = 1
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # It may be closed, or None.
            if file is not None:
                file.flush()
    _exit(status)


def prepare_process() -> None:
    """Gives BLAS, and XLA's products, one thread, unless variables say otherwise.

    More threads do not speed up small networks, and take cores from nodes. Call it
    before NumPy and JAX are imported. XLA's other pool (NPROC) stays as it is:
    with one thread there, SAC makes a quarter fewer updates under `serial`.
    """
    if "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, like SIGINT.

    A signal that is handled or ignored already stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Interrupts the main thread again if Python dropped a KeyboardInterrupt.

    Python drops an interrupt that comes while a callback of the garbage collector runs;
    JAX has one.
    """
    before = sys.unraisablehook
    main = threading.main_thread().ident or 0

    def retry(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            interrupt = partial(signal.pthread_kill, main, signal.SIGINT)
            threading.Timer(0.01, interrupt).start()
        else:
            before(unraisable)

    sys.unraisablehook = retry
    try:
        yield
    finally:
        sys.unraisablehook = before


def complain(error: AcmelikeError) -> int:
    """Prints a mistake of the user's in one line; returns the exit status for it."""
    tell(f"error: {first_line(error)}", sys.stderr)
    return 2


def or_status(part: Callable[[], T]) -> T | int:
    """Runs a part of a command; returns its result, or the exit status to end with.

    The status is 2, with a line that says why, after a mistake of the user's, 0 after
    `--help`, and 130 after an interrupt.
    """
    try:
        return part()
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def tell(line: str, file: TextIO | None = None) -> None:
    """Prints a line of a run, to stdout if no file is given.

    A closed terminal, a full disk, or an encoding that lacks a letter must not end the
    run: what cannot be printed is in the files of the run.
    """
    with contextlib.suppress(OSError, ValueError):
        print(line, file=file, flush=True)


def _exit(status: int) -> NoReturn:
    """Exits at once; sys.exit would wait for a node that is still in a long step.

    A node in a long step closes nothing any more. So the processes that it has started,
    such as those of an environment, are ended here. After status 0 the run has done so.
    """
    if status != 0:
        end_processes(descendants())
    os._exit(status)


def end_processes(pids: Iterable[int]) -> None:
    """Sends SIGTERM to those of the processes that still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def descendants() -> list[int]:
    """All descendants of this process, except those in a session of their own.

    None are found where there is no /proc.
    """
    parents, sessions = dict[int, int](), dict[int, str]()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
                parents[int(name)], sessions[int(name)] = int(fields[1]), fields[3]
    found = [os.getpid()]
    for pid in found:  # It grows meanwhile.
        found += [child for child, parent in parents.items() if parent == pid]
    own = sessions.get(found[0])
    return [pid for pid in found[1:] if sessions[pid] == own]


class _Interrupts:
    """Signal handlers. They take no lock, because the main thread might hold it."""

    def __init__(self) -> None:
        self._deadline: float | None = None

    def start(self, number: int, frame: FrameType | None) -> None:
        """Handles SIGINT, SIGTERM and SIGHUP."""
        if self._deadline is not None:
            _exit(INTERRUPTED)
        self._deadline = time.monotonic() + SECONDS_TO_END
        with contextlib.suppress(OSError):  # The terminal may be closed.
            os.write(2, b"ending the run; once more ends it at once\n")
        self.interrupt(number, frame)

    def interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        """Interrupts the main thread, or exits if the time to end has passed."""
        left = (self._deadline or 0.0) - time.monotonic()
        # An exception in the middle of an import makes some C extensions crash.
        if left < 0.01 or _is_importing(frame):
            _exit(INTERRUPTED)
        signal.setitimer(signal.ITIMER_REAL, left)
        raise KeyboardInterrupt

    def retry_if_dropped(self, unraisable: Any) -> None:
        """Interrupts again if Python dropped the exception, as it does in callbacks."""
        if unraisable.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            sys.__unraisablehook__(unraisable)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
