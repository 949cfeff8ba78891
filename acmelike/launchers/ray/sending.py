"""The folder that is sent to the hosts of a Ray cluster: what of it, and how much."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# What no host needs, whatever git says of it.
NOT_SENT = (".git", "__pycache__", "runs", ".venv*", "venv", "*.egg-info", ".*_cache")
_NAMES_NOT_SENT = re.compile("|".join(map(fnmatch.translate, NOT_SENT)))
# A variable of Ray: if it is 1, files that git ignores are sent too.
_SEND_IGNORED = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"
# How long git may take for a list.
_GIT_SECONDS = 10.0
# In a folder that is too large, such as a home folder, so many files are counted.
_MAX_FILES = 100_000
# The part of all bytes that makes a file or folder large, and how many are named.
_LARGE_PART, _MAX_NAMED = 0.1, 3


class SentFolder:
    """How much of a folder is sent, and what of that is large.

    Ray leaves out files that match a `.gitignore` in the folder. So only the files that
    git keeps are counted.

    Args:
      path: of the folder.
      max_bytes: that can be sent; in a larger folder, not everything may be counted.

    Attributes:
      num_bytes: of the files that are sent.
      is_checkout: whether git says what is sent.
    """

    def __init__(self, path: Path, max_bytes: int):
        self.num_bytes = 0
        # Of files, and of folders with all that is in them.
        self._sizes = Counter[str]()
        kept = _kept_by_git(path)
        self.is_checkout = kept is not None
        for number, name in enumerate(_files(path, kept)):
            with suppress(OSError):  # It was removed meanwhile.
                size = os.lstat(path / name).st_size
                self.num_bytes += size
                for part in (name, *_folders(name)):
                    self._sizes[part] += size
            if number >= _MAX_FILES and self.num_bytes > max_bytes:
                break

    def largest(self) -> str:
        """What is large, such as "data (480 MB), model.pt (90 MB)"; may be empty."""
        least = _LARGE_PART * self.num_bytes
        large = {name: size for name, size in self._sizes.items() if size >= least}
        rest = Counter(large)  # Of a folder, without its large parts.
        for name, size in large.items():
            rest[os.path.dirname(name)] -= size
        named = [name for name in large if rest[name] >= least]
        named.sort(key=large.__getitem__, reverse=True)
        return ", ".join(
            f"{name} ({large[name] / 1e6:.0f} MB)" for name in named[:_MAX_NAMED]
        )


def _folders(name: str) -> Iterator[str]:
    """The folders around a file, from its own outwards."""
    while name := os.path.dirname(name):
        yield name


def _files(folder: Path, kept: list[str] | None) -> Iterator[str]:
    """The files of a folder that are sent, by their paths in it.

    Args:
      folder: where to look.
      kept: what git does not ignore there; None to take all.
    """
    if kept is None:
        for root, names, files in os.walk(folder):
            names[:] = [name for name in names if not _NAMES_NOT_SENT.match(name)]
            inside = os.path.relpath(root, folder)
            yield from (os.path.normpath(os.path.join(inside, name)) for name in files)
        return
    for name in kept:
        if any(map(_NAMES_NOT_SENT.match, name.split("/"))):
            continue
        inner = folder / name
        if inner.is_dir() and not inner.is_symlink():
            # A checkout inside this one; git does not list its files.
            for file in _files(inner, _kept_by_git(inner)):
                yield os.path.join(name, file)
        else:
            yield name


def _kept_by_git(folder: Path) -> list[str] | None:
    """The files of a folder that git does not ignore.

    Returns:
      None if git does not know the folder, ignores all of it, is not installed, or is
      not to be asked.
    """
    if os.environ.get(_SEND_IGNORED) == "1":
        return None
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        listed = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name] or None
