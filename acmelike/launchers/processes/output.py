"""What processes print: to a log of their own, and on, under their names."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

# So much of a line without an end is kept; then it is passed on as one.
_MAX_LINE_BYTES = 2**16


def pass_on_output(
    stream: BufferedReader,
    name: str,
    logs: Path | None,
    is_continued: bool = False,
) -> None:
    """Copies what comes to `logs/<name>.log`, and lines with a prefix to stderr.

    Of a line that was written over again and again, such as a progress bar, stderr
    gets what a terminal would show at its end.

    Args:
      stream: a process's output; read until its end.
      name: of the process; a slash in it becomes a dash in the file's name.
      logs: the folder, or None for no file.
      is_continued: whether the file has lines of an earlier process, which stay.
    """
    with ExitStack() as stack:
        stack.enter_context(stream)
        file: IO[Any] | None = None
        if logs is not None:
            path = logs / f"{name.replace('/', '-')}.log"
            mode = "ab" if is_continued else "wb"
            with suppress(OSError):
                file = stack.enter_context(path.open(mode, buffering=0))
        pending = b""
        while chunk := stream.read1(_MAX_LINE_BYTES):
            # A full disk must not end a node that prints.
            if file is not None:
                with suppress(OSError):
                    file.write(chunk)
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > _MAX_LINE_BYTES:
                lines, pending = [*lines, pending], b""
            for line in lines:
                _pass_on(name, line)
        if pending:
            _pass_on(name, pending)


def _pass_on(name: str, line: bytes) -> None:
    text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
    # Nor must a closed terminal.
    with suppress(OSError, ValueError):
        print(f"[{name}] {text}", file=sys.stderr, flush=True)
