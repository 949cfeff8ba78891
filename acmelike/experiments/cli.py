"""The command line, derived from a configuration's fields, and the process's end."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn, TypeVar

from acmelike.errors import AcmelikeError, ConfigError, nearest

T = TypeVar("T")

INTERRUPTED = 130  # What shells say of a process that a Ctrl-C ended.
SECONDS_TO_END = 4.5  # After the first Ctrl-C; whatever still hangs then is left.


def run_process(main: Callable[[], int]) -> NoReturn:
    """Runs a program's `main` and exits the process with the status that it returns.

    The first Ctrl-C, or polite `kill`, is a KeyboardInterrupt for `main`; the second,
    or too long a time after the first, ends the process at once.
    """
    ending = _Ending()
    signal.signal(signal.SIGINT, ending.begin)
    signal.signal(signal.SIGTERM, ending.begin)
    signal.signal(signal.SIGALRM, ending.go_on)
    sys.unraisablehook = ending.was_swallowed
    try:
        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # As of `... --help | head`; there is nobody to tell.
        status = 1
    with contextlib.suppress(OSError):  # Nobody may read on.
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit: a node that is still in a long step must not hold the process up.
    os._exit(status)


def parse(config: type[T], args: Sequence[str], *, prog: str, description: str) -> T:
    """Parses the command line of a configuration, nested dataclasses as `--a.b`.

    Raises:
      ConfigError: a flag or a value that is wrong, in one line.
      SystemExit: `--help` was asked for and printed.
    """
    import tyro

    flags = list(flags_of(config))
    known = [*flags, "--help", "-h"]
    for arg in args:
        flag = arg.split("=")[0].replace("_", "-")
        if re.match(r"--?[a-zA-Z]", flag) and flag not in known:
            raise ConfigError(f"unknown flag {flag}{nearest(flag, known)}")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(config, args=args, prog=prog, description=description)
    except SystemExit as end:
        if not end.code:
            raise
        raise ConfigError(_first_message(printed.getvalue())) from None
    except ConfigError as error:
        raise ConfigError(_with_flag(str(error), flags)) from None


def flags_of(config: type, prefix: str = "--") -> Iterator[str]:
    """The flags of a configuration class."""
    for field in dataclasses.fields(config):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(default):
            yield from flags_of(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
            if isinstance(default, bool):
                yield f"{prefix}no-{name}"


def restore(config: type[T], values: Mapping[str, Any]) -> T:
    """Makes a configuration again from what its `config.json` holds."""
    restored = dict(values)
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        default = getattr(config(), field.name)
        if dataclasses.is_dataclass(default):
            restored[field.name] = restore(type(default), values[field.name])
        elif isinstance(default, tuple):
            restored[field.name] = tuple(values[field.name])  # JSON has lists only.
    return config(**restored)


def complain(error: AcmelikeError) -> int:
    """Tells the user of a mistake; returns the exit status for it."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    return 2


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__


def _with_flag(message: str, flags: Sequence[str]) -> str:
    """A message that begins with a field's name, now with the flag that sets it."""
    field, space, rest = message.partition(" ")
    name = field.replace("_", "-")
    meant = [flag for flag in flags if re.split(r"--|\.", flag)[-1] == name]
    return f"{meant[0]}{space}{rest}" if len(meant) == 1 else message


def _first_message(text: str) -> str:
    """The first message in one of tyro's boxes, as one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines()]
    message = []
    for line in lines[1:]:
        if set(line) <= set("─╰╯"):
            break
        message.append(line)
    return " ".join(message)


class _Ending:
    """How signals end the process; none of it takes a lock, which might be held."""

    def __init__(self) -> None:
        self._deadline: float | None = None

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C or a polite `kill`."""
        if self._deadline is not None:
            os._exit(INTERRUPTED)
        self._deadline = time.monotonic() + SECONDS_TO_END
        with contextlib.suppress(OSError):  # The terminal may be gone.
            os.write(2, b"ending the run; once more ends it at once\n")
        self.go_on(number, frame)

    def go_on(self, number: int, frame: FrameType | None) -> NoReturn:
        """Interrupts what the main thread does, or gives it up if time has run out."""
        left = (self._deadline or 0.0) - time.monotonic()
        # An exception in the middle of an import makes some C extensions crash.
        if left < 0.01 or _is_importing(frame):
            os._exit(INTERRUPTED)
        signal.setitimer(signal.ITIMER_REAL, left)
        raise KeyboardInterrupt

    def was_swallowed(self, unraisable: Any) -> None:
        """Tries again if the interrupt fell into a callback, where Python drops it."""
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
