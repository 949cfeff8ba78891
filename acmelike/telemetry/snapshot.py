"""What is known of a run at one moment, and how it is asked for from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from acmelike.core.status import NodeStatus
from acmelike.errors import RpcClosed
from acmelike.launchers import Run
from acmelike.replay import Replay, TableInfo


class Evaluated(NamedTuple):
    """An evaluation that was made."""

    env_steps: int
    mean_return: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment.

    Attributes:
      seconds: when, by `time.perf_counter`.
      nodes: the status of every node, by label.
      env_steps: counted by replay.
      learner_steps: updates made, when they were last recorded.
      tables: of replay.
      evaluations: all that were recorded, in order.
    """

    seconds: float
    nodes: Mapping[str, NodeStatus] = field(default_factory=dict)
    env_steps: int = 0
    learner_steps: int = 0
    tables: Sequence[TableInfo] = ()
    evaluations: Sequence[Evaluated] = ()


class Probe:
    """Takes snapshots of a run.

    Args:
      run: what to look at.
      replay: the handle of its replay.
      label: replay's label.
      metrics: the path of the run's records.
    """

    def __init__(self, run: Run, replay: Replay, label: str, metrics: Path):
        self._run, self._replay, self._label = run, run.client(replay), label
        self._records = Records(metrics)
        self._env_steps, self._learner_steps = 0, 0
        self._tables: list[TableInfo] = []
        self._evaluations: list[Evaluated] = []

    def look(self) -> Snapshot:
        """The run now; what does not answer any more is as it last was."""
        nodes = self._run.status()
        self._read_records()
        with suppress(RpcClosed):  # The run ended meanwhile.
            if has_started(nodes, self._label):
                self._env_steps = self._replay.num_env_steps()
                self._tables = self._replay.infos()
        return Snapshot(
            seconds=time.perf_counter(),
            nodes=nodes,
            env_steps=self._env_steps,
            learner_steps=self._learner_steps,
            tables=self._tables,
            evaluations=tuple(self._evaluations),
        )

    def _read_records(self) -> None:
        for line in self._records.read():
            # What replay counted last, it may have no time to be asked for.
            self._env_steps = max(self._env_steps, line["env_steps"])
            if line["event"] == "progress":
                self._learner_steps = line["learner_steps"]
            else:
                made = Evaluated(line["env_steps"], line["mean_return"])
                self._evaluations.append(made)


class Records:
    """Reads a JSON-lines file while it is written.

    Args:
      path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path):
        self._path, self._position = path, 0

    def read(self) -> list[dict[str, Any]]:
        """The lines that have become whole since the last time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def has_started(nodes: Mapping[str, NodeStatus], label: str) -> bool:
    """Whether a node answers; a call that came earlier would wait until it does."""
    return label in nodes and nodes[label].phase != "starting"
