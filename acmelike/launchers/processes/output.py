"""Copies what processes print to their logs, and to stderr under their names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

# A line without an end is passed on when it is longer than this.
_MAX_LINE_BYTES = 2**16
# The most characters of the last line that are kept, and that are searched for them.
_MAX_TOLD, _MAX_LOOKED_AT = 200, 1_000
# Colours and the like, as terminals take them.
_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Names of logs that no process gets: the log of the run, and that of what Ray prints.
_NOT_OF_PROCESSES = ("run", "ray")


class LastLine:
    """The last line that a process has printed, without those that are blank.

    Attributes:
      text: its first 200 characters, all printable; "" if there is no such line.
    """

    def __init__(self) -> None:
        self.text = ""

    def note(self, line: str) -> None:
        """Notes a line that the process has printed."""
        line = line[:_MAX_LOOKED_AT]
        if not line.isprintable():
            line = _CONTROL_SEQUENCE.sub("", line)
            line = "".join(each if each.isprintable() else " " for each in line)
        if line := line.strip():
            self.text = line[:_MAX_TOLD]


def log_files(names: Iterable[str]) -> dict[str, str]:
    """The name of each process's log, which it shares with no other.

    A slash becomes a dash. If the run or another process has that name already, a
    number follows.

        >>> log_files(["actor/0", "actor-0", "run"])
        {'actor/0': 'actor-0.log', 'actor-0': 'actor-0-2.log', 'run': 'run-2.log'}
    """
    found: dict[str, str] = {}
    taken = set(_NOT_OF_PROCESSES)
    clashing: list[str] = []
    for name in names:
        stem = name.replace("/", "-")
        if stem in taken:
            clashing.append(name)
        else:
            taken.add(stem)
            found[name] = f"{stem}.log"
    # Last, so that a process gets its usual name if that is free.
    for name in clashing:
        stem, number = name.replace("/", "-"), 2
        while f"{stem}-{number}" in taken:
            number += 1
        taken.add(f"{stem}-{number}")
        found[name] = f"{stem}-{number}.log"
    return found


def pass_on_output(
    stream: BufferedReader,
    name: str,
    log: Path | None,
    is_continued: bool = False,
    last: LastLine | None = None,
) -> None:
    """Copies a process's output to a log, and its lines with a prefix to stderr.

    A line may be written over again and again, as a progress bar is. Then stderr gets
    what a terminal would show at its end.

    Args:
      stream: a process's output; read until its end.
      name: of the process.
      log: the file, or None for none.
      is_continued: whether the file has lines of an earlier process, which stay.
      last: notes each line, or None.
    """
    with ExitStack() as stack:
        stack.enter_context(stream)
        file: IO[Any] | None = None
        if log is not None:
            mode = "ab" if is_continued else "wb"
            with suppress(OSError):
                file = stack.enter_context(log.open(mode, buffering=0))
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
                _pass_on(name, line, last)
        if pending:
            _pass_on(name, pending, last)


def _pass_on(name: str, line: bytes, last: LastLine | None) -> None:
    text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
    if last is not None:
        last.note(text)
    # A closed terminal must not end it either.
    with suppress(OSError, ValueError):
        print(f"[{name}] {text}", file=sys.stderr, flush=True)
