"""Draws the graph of a program's nodes, in place of running it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from acmelike.errors import ConfigError, first_line
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.run_folder import RunFolder
from acmelike.files import write_whole

C = TypeVar("C", bound=ExperimentConfig[Any])


def draw(program: TrainingProgram[C], config: C, file: str) -> int:
    """Draws the program that these flags make, and starts nothing.

    Args:
      program: what to draw.
      config: the flags.
      file: a picture (.svg), or Mermaid text (.mmd, .md).

    Returns:
      The exit status: 0, or 1 if the agent or the environment cannot be made.

    Raises:
      ConfigError: a mistake in the flags, or the file cannot be written.
    """
    from acmelike.experiments.build import make_system

    path = Path(file).absolute()  # An environment may change the folder.
    try:
        graph = make_system(program, config, RunFolder(".")).program
    except ConfigError:
        raise
    except Exception as error:  # For example from the environment's constructor.
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 1
    text = graph.draw("svg" if file.endswith(".svg") else "mermaid")
    if file.endswith(".md"):
        text = f"```mermaid\n{text}```\n"
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"cannot write to {file}: it is not a file")
        write_whole(path, text)
    except OSError as error:
        raise ConfigError(f"cannot write to {file}: {error.strerror}") from None
    print(f"drew {len(graph.entries)} nodes into {file}")
    return 0
