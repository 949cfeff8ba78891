"""Paths, and atomic writing: a file is replaced as a whole, or grows by whole lines."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def absolute(path: str) -> str:
    """A path that stays the same when the working directory changes."""
    return os.path.abspath(path)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON, in which numbers of NumPy and paths may stand too."""
    return json.dumps(value, indent=indent, default=_as_plain)


def _as_plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as JSON")


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file as a whole; see `write_whole` and `to_json`."""
    write_whole(path, to_json(value, indent=2) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file as a whole: writes another one beside it and renames that.

    Raises:
      OSError: it cannot be written; an older file is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except OSError:
        with suppress(OSError):  # Its folder may not exist.
            aside.unlink()
        raise


def overwrite_json(path: Path, value: Any) -> None:
    """Writes a JSON file over the old one, for a disk that has no room for both."""
    with path.open("r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = (to_json(value, indent=2) + "\n").encode().ljust(size)
        if len(data) > size and hasattr(os, "posix_fallocate"):
            # Takes the room first, so that nothing is half written.
            os.posix_fallocate(file.fileno(), 0, len(data))
        file.write(data)


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Appends one line to a JSON-lines file; if that fails, appends nothing."""
    line = (to_json(value) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(line) != len(line):  # The disk has just become full.
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The values in a JSON-lines file, one a line; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
