"""The folder of one run: which files it has, and who may use it."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from acmelike.errors import ConfigError


class FolderTaken(ConfigError):
    """The folder already holds a run."""


class RunFolder:
    """The settings, records, summary, plots, policy and logs of one run, as files.

    Args:
      path: of the folder.

    Attributes:
      path: as given, with the home folder in the place of a "~".
      root: the absolute path, which stays right if the working directory changes.
    """

    def __init__(self, path: str | os.PathLike[str]):
        # A shell leaves the "~" of "--out=~/runs" as it is.
        self.path = Path(os.path.expanduser(path))
        try:
            self.root = Path(os.path.abspath(self.path))
        except FileNotFoundError:
            raise ConfigError("the current folder does not exist any more") from None
        self._created: list[Path] = []
        self._others: set[Path] = set()

    config = property(lambda self: self.root / "config.json")
    metrics = property(lambda self: self.root / "metrics.jsonl")
    summary = property(lambda self: self.root / "summary.json")
    curve = property(lambda self: self.root / "curve.png")
    policy = property(lambda self: self.root / "policy.zip")
    best_policy = property(lambda self: self.root / "best_policy.zip")
    log = property(lambda self: self.root / "logs" / "run.log")

    def create(self) -> None:
        """Makes the folder, and in it the log, which marks the folder as taken.

        Raises:
          FolderTaken: it already holds a run.
          ConfigError: it cannot be written.
        """
        policies = (self.policy, self.best_policy)
        holders = (self.config, self.metrics, self.summary, *policies, self.log)
        for file in holders:
            if os.path.lexists(file):
                raise FolderTaken(
                    f"{self.path} already holds a run ({file.name}): choose another "
                    f"folder, or remove that run"
                )
        folders = (self.log.parent, *self.log.parent.parents)
        self._created = [folder for folder in folders if not os.path.lexists(folder)]
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._remove_folders()
            raise self.refusal(error) from None
        self._others = set(self._of_loggers())
        try:
            self.log.open("x").close()
        except FileExistsError:  # Another run took the folder at the same time.
            raise FolderTaken(f"{self.path} already holds a run") from None
        except OSError as error:
            self._remove_folders()
            raise self.refusal(error) from None

    def discard(self) -> None:
        """Removes the files and folders of a run that did not start."""
        own = {self.config, self.summary, *self._of_loggers()} - self._others
        for path in own:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        self._remove_folders()

    def _of_loggers(self) -> list[Path]:
        """The logs of all processes, and what other loggers have written."""
        folders = [self.root / name for name in ("tensorboard", "wandb")]
        return [*self.log.parent.glob("*.log"), *filter(Path.exists, folders)]

    def refusal(self, error: OSError) -> ConfigError:
        """The error for a folder that cannot be written."""
        return ConfigError(f"cannot write to {self.path}: {error.strerror}")

    def _remove_folders(self) -> None:
        for folder in self._created:
            with suppress(OSError):  # It was not made, or is not empty.
                folder.rmdir()


def create_run_folder(path: str | None, name: str) -> RunFolder:
    """Makes the folder of a run.

    Args:
      path: of the folder; None or "" for a new folder in `runs/`, named after the
        program and the time.
      name: of the program.

    Raises:
      ConfigError: the folder already holds a run, or cannot be written.
    """
    if path:
        folder = RunFolder(path)
        folder.create()
        return folder
    now = time.strftime(f"runs/{name}-%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = RunFolder(now if number == 1 else f"{now}-{number}")
        with suppress(FolderTaken):  # By a run that started in the same second.
            folder.create()
            break
    return folder
