"""The folder of one run: where each file is, and how it is written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from acmelike.errors import ConfigError


class FolderTaken(ConfigError):
    """The folder already holds a run."""


class RunFolder:
    """`config.json metrics.jsonl summary.json curve.png policy.zip logs/` of one run.

    Args:
      path: of the folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._made: list[Path] = []

    config = property(lambda self: self.path / "config.json")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    summary = property(lambda self: self.path / "summary.json")
    curve = property(lambda self: self.path / "curve.png")
    policy = property(lambda self: self.path / "policy.zip")
    log = property(lambda self: self.path / "logs" / "run.log")

    def create(self) -> None:
        """Makes the folder, and in it the log, which marks it as this run's.

        Raises:
          FolderTaken: it already holds a run.
          ConfigError: it cannot be written.
        """
        holders = (self.config, self.metrics, self.summary, self.policy, self.log)
        for file in holders:
            if os.path.lexists(file):
                raise FolderTaken(f"{self.path} already holds a run ({file.name})")
        folders = (self.log.parent, *self.log.parent.parents)
        self._made = [folder for folder in folders if not os.path.lexists(folder)]
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._remove_folders()
            raise self.refusal(error) from None
        try:
            self.log.open("x").close()
        except FileExistsError:  # Another run was as quick as this one.
            raise FolderTaken(f"{self.path} already holds a run") from None
        except OSError as error:
            self._remove_folders()
            raise self.refusal(error) from None

    def discard(self) -> None:
        """Takes back what was made in a folder of this run, as it never started."""
        for file in (self.config, self.summary, self.log):
            with suppress(OSError):
                file.unlink(missing_ok=True)
        self._remove_folders()

    def refusal(self, error: OSError) -> ConfigError:
        """What to tell a user whose folder cannot be written."""
        return ConfigError(f"cannot write to {self.path}: {error.strerror}")

    def _remove_folders(self) -> None:
        for folder in self._made:
            with suppress(OSError):  # It was never made, or others use it too.
                folder.rmdir()


def create_run_folder(path: str | None, name: str) -> RunFolder:
    """Makes a run's folder; without a path, a new one that says what and when.

    Raises:
      ConfigError: it already holds a run, or cannot be written.
    """
    if path:
        folder = RunFolder(path)
        folder.create()
        return folder
    now = time.strftime(f"runs/{name}-%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = RunFolder(now if number == 1 else f"{now}-{number}")
        with suppress(FolderTaken):  # By a run that began in the same second.
            folder.create()
            break
    return folder


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file that is always whole."""
    write_whole(path, json.dumps(value, indent=2) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file that is always whole: aside, then renamed."""
    data = content.encode() if isinstance(content, str) else content
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except OSError:
        with suppress(OSError):  # Its folder may be none.
            aside.unlink()
        raise


def overwrite_json(path: Path, value: Any) -> None:
    """Writes a JSON file over the old one, for a disk with no room for both."""
    with path.open("r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        file.write((json.dumps(value, indent=2) + "\n").encode().ljust(size))


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Adds one line to a JSON-lines file, whole or not at all."""
    line = (json.dumps(value) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(line) != len(line):  # As on a disk that has just become full.
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
