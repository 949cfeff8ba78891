"""What processes print: to a log of their own, and on, under their names."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any


def pass_on_output(
    stream: IO[bytes] | None, name: str, logs: Path | None, is_continued: bool = False
) -> None:
    """Copies lines to `logs/<name>.log`, and prefixed to this process's stderr.

    Args:
      stream: a process's output; read until its end.
      name: of the process; a slash in it becomes a dash in the file's name.
      logs: the folder, or None for no file.
      is_continued: whether the file has lines of an earlier process, which stay.
    """
    assert stream is not None
    with ExitStack() as stack:
        stack.enter_context(stream)
        file: IO[Any] | None = None
        if logs is not None:
            path = logs / f"{name.replace('/', '-')}.log"
            mode = "ab" if is_continued else "wb"
            with suppress(OSError):
                file = stack.enter_context(path.open(mode, buffering=0))
        # A full disk or a closed terminal must not end a node that prints.
        for line in stream:
            if file is not None:
                with suppress(OSError):
                    file.write(line)
            text = line.decode(errors="replace").rstrip("\n")
            with suppress(OSError, ValueError):
                print(f"[{name}] {text}", file=sys.stderr, flush=True)
