"""What processes print: to a log of their own, and on, under their names."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any


def pass_on_output(stream: IO[bytes] | None, name: str, logs: Path | None) -> None:
    """Copies lines to `logs/<name>.log`, and prefixed to this process's stderr.

    Args:
      stream: a process's output; read until its end.
      name: of the process; a slash in it becomes a dash in the file's name.
      logs: the folder, or None for no file.
    """
    assert stream is not None
    with ExitStack() as stack:
        stack.enter_context(stream)
        file: IO[Any] | None = None
        if logs is not None:
            path = logs / f"{name.replace('/', '-')}.log"
            file = stack.enter_context(path.open("wb", buffering=0))
        for line in stream:
            if file is not None:
                file.write(line)
            text = line.decode(errors="replace").rstrip("\n")
            print(f"[{name}] {text}", file=sys.stderr, flush=True)
