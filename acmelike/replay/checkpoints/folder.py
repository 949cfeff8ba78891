"""A folder of checkpoints: their names, and what makes one whole."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acmelike.errors import CheckpointDamaged

_FACTS = "facts.json"
_PREFIX = "replay-"
_NAME = re.compile(_PREFIX + r"\d{6}")
_VERSION = 2


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first; what else is there is not ours."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def checkpoint_path(folder: Path, number: int) -> Path:
    """Where the checkpoint of a number is."""
    return folder / f"{_PREFIX}{number:06}"


def last_number(folder: Path) -> int:
    """The number of the newest checkpoint; 0 if there is none."""
    paths = checkpoint_paths(folder)
    return int(paths[-1].name.removeprefix(_PREFIX)) if paths else 0


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Completes a folder, of which all other files are written, and syncs it."""
    files = {
        path.name: [path.stat().st_size, _checksum(path)]
        for path in sorted(folder.iterdir())
    }
    text = json.dumps({**facts, "version": _VERSION, "files": files})
    (folder / _FACTS).write_text(json.dumps({"checksum": _crc(text), "facts": text}))
    for path in (*folder.iterdir(), folder):
        sync(path)


def read_facts(path: Path, *, with_checksums: bool = True) -> dict[str, Any]:
    """The facts of a checkpoint that is whole.

    Args:
      path: of its folder.
      with_checksums: whether to read all files; otherwise only their sizes are seen.

    Raises:
      CheckpointDamaged: a file is missing, cut off or changed.
    """
    try:
        outer = json.loads((path / _FACTS).read_text())
        if _crc(outer["facts"]) != outer["checksum"]:
            raise CheckpointDamaged(f"{path}: {_FACTS} is damaged")
        facts: dict[str, Any] = json.loads(outer["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointDamaged(f"{path}: {_FACTS} cannot be read") from error
    if facts["version"] != _VERSION:
        raise CheckpointDamaged(
            f"{path}: it is of version {facts['version']}, not {_VERSION}"
        )
    for name, (size, checksum) in facts["files"].items():
        file = path / name
        is_whole = file.is_file() and file.stat().st_size == size
        if not is_whole or (with_checksums and _checksum(file) != checksum):
            raise CheckpointDamaged(f"{path}: {name} is missing or damaged")
    return facts


def superseded(folder: Path, num_keep: int) -> list[Path]:
    """The checkpoints that are older than so many that look whole."""
    num_whole = 0
    paths = checkpoint_paths(folder)
    for index in reversed(range(len(paths))):
        try:
            read_facts(paths[index], with_checksums=False)
        except CheckpointDamaged:
            continue
        num_whole += 1
        if num_whole == num_keep:
            return paths[:index]
    return []


def sync(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())
