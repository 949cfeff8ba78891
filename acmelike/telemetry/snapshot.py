"""A snapshot of a run, and the probe that takes one from outside."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from acmelike.core import deadline
from acmelike.core.status import NodeStatus
from acmelike.errors import GraphError, RpcClosed, RpcTimeout
from acmelike.graph import Node
from acmelike.launchers import Run
from acmelike.replay import Replay, TableInfo

# How long a probe waits for the answer of a node.
LOOK_SECONDS = 2.0


class EvaluationResult(NamedTuple):
    """The result of one evaluation.

    Attributes:
      env_steps: environment steps made when it was ordered.
      mean_return: over its episodes.
    """

    env_steps: int
    mean_return: float


class TrainingEpisodes(NamedTuple):
    """The last 100 episodes of the actors, which explore.

    Attributes:
      mean_return: over these episodes.
      mean_length: of these episodes, in environment steps.
    """

    mean_return: float
    mean_length: float


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """A run at one moment.

    Attributes:
      seconds: the time of the snapshot, on `time.perf_counter`.
      nodes: the status of every node, by label.
      env_steps: environment steps, as replay counts them.
      learner_steps: updates, as last recorded.
      metrics: the learner's metrics, as last recorded.
      tables: the tables of replay.
      evaluations: all recorded evaluations, in order.
      training: the latest episodes of the actors, as last recorded; None before the
        first has ended.
    """

    seconds: float
    nodes: Mapping[str, NodeStatus] = field(default_factory=dict)
    env_steps: int = 0
    learner_steps: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Sequence[TableInfo] = ()
    evaluations: Sequence[EvaluationResult] = ()
    training: TrainingEpisodes | None = None


class Probe:
    """Takes snapshots of a run.

    Args:
      run: the run.
      replay: the handle of the run's replay.
      label: the label of this node.
      metrics: the path of the run's `metrics.jsonl`.
    """

    def __init__(self, run: Run, replay: Replay, label: str, metrics: Path):
        self._run, self._replay, self._label = run, run.client(replay), label
        self._records = RecordReader(metrics)
        self._env_steps, self._learner_steps = 0, 0
        self._metrics: dict[str, float] = {}
        self._tables: list[TableInfo] = []
        self._evaluations: list[EvaluationResult] = []
        self._training: TrainingEpisodes | None = None

    def take(self) -> RunSnapshot:
        """Returns the run as it is now; nodes that have ended keep their last state."""
        nodes = self._run.status()
        self._read_records()
        # The run has ended in the meantime; or replay hangs, and keeps its last state.
        with suppress(RpcClosed, RpcTimeout), deadline(LOOK_SECONDS):
            if has_started(nodes, self._label):
                self._env_steps = self._replay.num_env_steps()
                self._tables = self._replay.infos()
        return RunSnapshot(
            seconds=time.perf_counter(),
            nodes=nodes,
            env_steps=self._env_steps,
            learner_steps=self._learner_steps,
            metrics=self._metrics,
            tables=self._tables,
            evaluations=tuple(self._evaluations),
            training=self._training,
        )

    def _read_records(self) -> None:
        for line in self._records.read():
            # A short run may end before replay could be asked for its last count.
            self._env_steps = max(self._env_steps, line["env_steps"])
            if line["event"] == "progress":
                self._learner_steps = line["learner_steps"]
                self._metrics = {
                    name: math.nan if value is None else value
                    for name, value in line["metrics"].items()
                }
                if "training_return" in line:
                    self._training = TrainingEpisodes(
                        line["training_return"], line["training_length"]
                    )
            else:
                made = EvaluationResult(line["env_steps"], line["mean_return"])
                self._evaluations.append(made)


class ProgramProbe:
    """Takes snapshots of a run of any program, with the tables of its replay nodes.

    If there are several replay nodes, the name of a table begins with the label of its
    node, as in "replay.items".

    Args:
      run: the run.

    Attributes:
      replays: the labels of the replay nodes, in the order in which they were added.
    """

    def __init__(self, run: Run):
        self._run = run
        self._handles = {
            entry.label: cast(Replay, handle)
            for handle, entry in run.program.entries.items()
            if _is_replay(entry.node)
        }
        self.replays = list(self._handles)
        self._tables: dict[str, list[TableInfo]] = {}

    def take(self) -> RunSnapshot:
        """Returns the run as it is now; nodes that have ended keep their last state."""
        nodes = self._run.status()
        for label, handle in self._handles.items():
            # As in `Probe`; or the node's group has a size, and the node was ended.
            with suppress(RpcClosed, RpcTimeout, GraphError), deadline(LOOK_SECONDS):
                if has_started(nodes, label):
                    self._tables[label] = self._run.client(handle).infos()
        return RunSnapshot(
            seconds=time.perf_counter(),
            nodes=nodes,
            tables=[
                self._named(label, info)
                for label in self.replays
                for info in self._tables.get(label, ())
            ],
        )

    def _named(self, label: str, info: TableInfo) -> TableInfo:
        if len(self.replays) == 1:
            return info
        return replace(info, name=f"{label}.{info.name}")


class RecordReader:
    """Reads a JSON-lines file while another process appends to it.

    Args:
      path: of the file, which may not exist yet.
    """

    def __init__(self, path: Path):
        self._path, self._position = path, 0

    def read(self) -> list[dict[str, Any]]:
        """Returns the lines that were completed since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except OSError:  # There is none yet, or it cannot be read just now.
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def has_started(nodes: Mapping[str, NodeStatus], label: str) -> bool:
    """Whether a node has started; an earlier call would wait until it has."""
    return label in nodes and nodes[label].phase != "starting"


def _is_replay(node: Node[Any]) -> bool:
    """Whether a node is replay, or a class of the user's that extends it."""
    kind = node.unwrapped
    return isinstance(kind, type) and issubclass(kind, Replay)
