"""A folder of checkpoints: their names, and how a complete one is recognised."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acmelike.errors import CheckpointDamaged
from acmelike.files import to_json

_METADATA = "metadata.json"
_PREFIX = "replay-"
_NAME = re.compile(_PREFIX + r"\d{6}")
_FORMAT = 5


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first; other files are ignored."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def is_checkpoint(path: Path) -> bool:
    """Whether a path is one checkpoint, and not a folder of several."""
    return bool(_NAME.fullmatch(path.name)) and (path / _METADATA).is_file()


def checkpoint_path(folder: Path, number: int) -> Path:
    """The path of the checkpoint with this number."""
    return folder / f"{_PREFIX}{number:06}"


def last_number(folder: Path) -> int:
    """The number of the newest checkpoint; 0 if there is none."""
    paths = checkpoint_paths(folder)
    return int(paths[-1].name.removeprefix(_PREFIX)) if paths else 0


def write_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Completes a checkpoint whose other files are written, and syncs all of them."""
    files = {
        file.name: [file.stat().st_size, _file_checksum(file)]
        for file in sorted(path.iterdir())
    }
    text = to_json({**metadata, "format": _FORMAT, "files": files})
    outer = {"checksum": _checksum(text), "metadata": text}
    (path / _METADATA).write_text(json.dumps(outer))
    for file in (*path.iterdir(), path):
        sync(file)


def read_metadata(path: Path, *, with_checksums: bool = True) -> dict[str, Any]:
    """The metadata of a complete checkpoint.

    Args:
      path: of the checkpoint.
      with_checksums: whether to read all files and compare their checksums. If not,
        only their sizes are compared.

    Raises:
      CheckpointDamaged: a file is missing, truncated or changed.
    """
    try:
        outer = json.loads((path / _METADATA).read_text())
        if _checksum(outer["metadata"]) != outer["checksum"]:
            raise CheckpointDamaged(f"{path}: {_METADATA} is damaged")
        metadata: dict[str, Any] = json.loads(outer["metadata"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointDamaged(f"{path}: {_METADATA} cannot be read") from error
    if metadata["format"] != _FORMAT:
        raise CheckpointDamaged(
            f"{path}: expected format {_FORMAT}, got {metadata['format']}"
        )
    for name, (size, checksum) in metadata["files"].items():
        file = path / name
        is_complete = file.is_file() and file.stat().st_size == size
        if not is_complete or (with_checksums and _file_checksum(file) != checksum):
            raise CheckpointDamaged(f"{path}: {name} is missing or damaged")
    return metadata


def outdated_checkpoints(folder: Path, num_keep: int) -> list[Path]:
    """The checkpoints older than the `num_keep` newest that look complete."""
    num_complete = 0
    paths = checkpoint_paths(folder)
    for index in reversed(range(len(paths))):
        try:
            read_metadata(paths[index], with_checksums=False)
        except CheckpointDamaged:
            continue
        num_complete += 1
        if num_complete == num_keep:
            return paths[:index]
    return []


def sync(path: Path) -> None:
    """Waits until a file or a folder is written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            checksum = zlib.crc32(part, checksum)
    return checksum


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode())
