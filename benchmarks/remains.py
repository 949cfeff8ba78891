"""What a run has left on this machine: processes, open sockets, folders (Linux)."""

from __future__ import annotations

import gc
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2


class Remains:
    """What is there later and is not there now.

    Processes are known by a variable of their environment, which all inherit that are
    started from now on: also one whose parent has ended, or that is in another group.
    """

    def __init__(self) -> None:
        name, value = "ACMELIKE_BENCHMARK", secrets.token_hex(8)
        self._mark = f"{name}={value}".encode()
        os.environ[name] = value
        self._before = {*_descriptors(), *_folders()}

    def find(self) -> list[str]:
        """What has come since and does not go within some seconds, in words."""
        gc.collect()
        limit = time.monotonic() + _GRACE_SECONDS
        while left := self._left():
            if time.monotonic() > limit:
                break
            time.sleep(_LOOK_SECONDS)
        return sorted(left)

    def _left(self) -> set[str]:
        others = {*_descriptors(), *_folders()} - self._before
        return {*others, *self._processes()}

    def _processes(self) -> Iterator[str]:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # It has ended, or is another user's.
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield f"process {folder.name}: {words.decode(errors='replace')}"


def _descriptors() -> Iterator[str]:
    """The sockets and the shared memory that this process has open."""
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(path)
            if target.startswith(("socket:", "/memfd:")):
                yield target


def _folders() -> Iterator[str]:
    """Temporary files and folders of runs."""
    for path in Path(tempfile.gettempdir()).glob("acmelike*"):
        yield str(path)
