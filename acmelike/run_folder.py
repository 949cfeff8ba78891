"""The folder of one run: where each file is, and how it is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from acmelike.errors import ConfigError


class RunFolder:
    """`config.json metrics.jsonl summary.json curve.png logs/` of one run.

    Args:
      path: of the folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    config = property(lambda self: self.path / "config.json")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    summary = property(lambda self: self.path / "summary.json")
    curve = property(lambda self: self.path / "curve.png")
    log = property(lambda self: self.path / "logs" / "run.log")

    def create(self) -> None:
        """Makes the folder.

        Raises:
          ConfigError: it already holds a run, or cannot be written.
        """
        for file in (self.config, self.metrics, self.summary):
            if file.exists():
                raise ConfigError(f"{self.path} already holds a run ({file.name})")
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.touch()
        except OSError as error:
            reason = error.strerror
            raise ConfigError(f"cannot write to {self.path}: {reason}") from None

    def discard(self) -> None:
        """Takes back what `create` made, as the run never started."""
        shutil.rmtree(self.log.parent, ignore_errors=True)
        self.summary.unlink(missing_ok=True)
        if self.path.exists() and not any(self.path.iterdir()):
            self.path.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file that is always whole: aside, then renamed."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(json.dumps(value, indent=2) + "\n")
    aside.replace(path)


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Adds one line to a JSON-lines file, in one write."""
    with path.open("a") as file:
        file.write(json.dumps(value) + "\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
