"""The records of a run: one JSON object a line, in `metrics.jsonl`.

    {"event": "progress", "env_steps": 500, "learner_steps": 120, "loss": 0.41,
     "metrics": {"loss": 0.41, "entropy": 1.3}, "staleness_mean": 2.1,
     "staleness_p50": 1.5, "staleness_p90": 4.5, "staleness_max": 9.5,
     "times_sampled_p50": 4, "times_sampled_p90": 9, "times_sampled_max": 15,
     "samples_per_insert": 7.9, "replay_size": 500, "num_episodes": 21,
     "training_return": 22.4, "training_length": 22.4, "time": {"seconds": 1.25}}
    {"event": "evaluation", "env_steps": 1000, "learner_steps": 245,
     "mean_return": 31.2, "std_return": 8.4, "num_episodes": 20, "time": {...}}

The last record of a complete run has the event "end" and the fields of an evaluation.
Staleness is in updates. Its mean covers all items so far; its other numbers cover the
latest batch. The training return and length are means of the last 100 episodes of the
actors, which explore; a record before the end of the first episode has neither.
"clipped_fraction" is the share of steps of the same episodes whose action was outside
of its bounds and was clipped. "num_dropped_episodes" is the number of episodes that
were dropped because an environment failed and was recreated. A record has either of
them only if it is not zero.
Metrics have a mapping of their own, because an agent may choose any name. It also has
the metrics that other nodes recorded, as "node/name". An infinite number or NaN is
null, as JSON has neither.
Only "time" has readings of a clock, so the records of two runs with one seed can be
compared without it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acmelike.files import append_json_line
from acmelike.learners.learner import LearnerProgress
from acmelike.replay import EpisodeInfo, TableInfo
from acmelike.types import Array

Event = Literal["progress", "evaluation", "end"]


class RecordWriter:
    """Appends records to a file, with the seconds since `start`.

    Args:
      path: of the file.
    """

    def __init__(self, path: Path):
        self._path, self._started = path, 0.0

    def start(self) -> None:
        """Sets the clock of the records to 0."""
        self._started = time.perf_counter()

    def write(self, event: Event, record: Mapping[str, Any]) -> None:
        """Appends one record.

        Raises:
          OSError: the file cannot be written, as on a full disk.
        """
        seconds = round(time.perf_counter() - self._started, 4)
        line = {"event": event, **record, "time": {"seconds": seconds}}
        append_json_line(self._path, line)


def make_progress_record(
    env_steps: int,
    learner: LearnerProgress,
    table: TableInfo,
    episodes: EpisodeInfo,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """The counters of replay and the learner at one moment.

    Args:
      env_steps: environment steps so far.
      learner: the learner's progress.
      table: statistics of the table.
      episodes: of the actors.
      metrics: of other nodes.
    """
    record: dict[str, Any] = {
        "env_steps": env_steps,
        "learner_steps": learner.num_updates,
        # Every agent has a loss, so it is also here, where scripts find it at once.
        "loss": learner.loss,
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in {**learner.metrics, **metrics}.items()
        },
        "staleness_mean": learner.staleness_mean,
        "samples_per_insert": table.samples_per_insert,
        "replay_size": table.size,
        "num_episodes": episodes.num_episodes,
    }
    for name in ("staleness", "times_sampled"):
        spread = getattr(learner, name)
        if spread is not None:
            numbers = spread._asdict().items()
            record |= {f"{name}_{key}": value for key, value in numbers}
    if episodes.mean_return is not None:
        record["training_return"] = episodes.mean_return
        record["training_length"] = episodes.mean_length
    if episodes.clipped_fraction:
        record["clipped_fraction"] = episodes.clipped_fraction
    if episodes.num_dropped_episodes:
        record["num_dropped_episodes"] = episodes.num_dropped_episodes
    return record


def make_evaluation_record(
    env_steps: int, version: int, returns: Array
) -> dict[str, Any]:
    """The result of one evaluation.

    Args:
      env_steps: made when the evaluation was ordered.
      version: of the parameters, which is the number of updates that made them.
      returns: `[E]`, one of each episode.
    """
    return {
        "env_steps": env_steps,
        "learner_steps": version,
        "mean_return": float(np.mean(returns)),
        "std_return": float(np.std(returns)),
        "num_episodes": len(returns),
    }
