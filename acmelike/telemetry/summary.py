"""The figures in `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acmelike.core.status import NodeStatus, group_by_role

# How the records of counters begin. A run of days has too many of them to read all.
_COUNTERS = b'{"event": "progress"'


def read_records(path: Path, *, max_counters: int) -> list[dict[str, Any]]:
    """Reads the records of a run, but only some of the counters; none without a file.

    Args:
      path: of `metrics.jsonl`.
      max_counters: the most records of counters that are returned, spread evenly over
        the run; the latest comes in addition. Evaluations are all returned.

    Raises:
      ValueError: a line is not JSON.
    """
    others: list[tuple[int, bytes]] = []
    counters: list[tuple[int, bytes]] = []
    num_counters, stride = 0, 1
    latest: list[tuple[int, bytes]] = []
    if not path.exists():
        return []
    with path.open("rb") as file:
        for numbered in enumerate(file):
            if not numbered[1].startswith(_COUNTERS):
                others.append(numbered)
                continue
            latest = [numbered]
            if num_counters % stride == 0:
                counters.append(numbered)
                if len(counters) > max_counters:
                    del counters[1::2]
                    stride *= 2
            num_counters += 1
    lines = sorted({*others, *counters, *latest})
    return [json.loads(line) for _, line in lines]


def summarize(
    lines: Sequence[dict[str, Any]], status: Mapping[str, NodeStatus]
) -> dict[str, Any]:
    """Computes the figures of a run.

    Rates are of the time since the first environment step. Idle and blocked fractions
    are the share of the time, working or waiting, that nodes spent waiting.

    Args:
      lines: the records of `metrics.jsonl`.
      status: the last status of each node, by label.
    """
    progress: dict[str, Any] = {}
    seconds, end = 0.0, dict[str, Any]()
    evaluations: list[dict[str, Any]] = []
    for line in lines:
        if line["event"] == "progress":
            progress, seconds = line, line["time"]["seconds"]
        else:
            evaluations.append(line)
            end = line if line["event"] == "end" else {}
    env_steps = progress.get("env_steps", 0)
    learner_steps = progress.get("learner_steps", 0)
    best: dict[str, Any] = max(
        evaluations, key=lambda line: line["mean_return"], default={}
    )
    roles = group_by_role(status.values())
    return {
        "env_steps": env_steps,
        "learner_steps": learner_steps,
        "final_return": end.get("mean_return"),
        # Of the policy with this return; the run may have continued meanwhile.
        "final_learner_steps": end.get("learner_steps"),
        "best_return": best.get("mean_return"),
        # Likewise, and when its evaluation was ordered.
        "best_learner_steps": best.get("learner_steps"),
        "best_env_steps": best.get("env_steps"),
        "env_steps_per_second": env_steps / seconds if seconds else 0.0,
        "learner_steps_per_second": learner_steps / seconds if seconds else 0.0,
        "learner_idle_fraction": _mean_waiting(roles.get("learner", [])),
        "actor_blocked_fraction": _mean_waiting(roles.get("actor", [])),
        "samples_per_insert": progress.get("samples_per_insert", 0.0),
        "staleness_mean": progress.get("staleness_mean", 0.0),
        "num_dropped_episodes": progress.get("num_dropped_episodes", 0),
        "num_restarts": sum(node.num_restarts for node in status.values()),
        "hosts": {label: node.host for label, node in status.items() if node.host},
    }


def _mean_waiting(nodes: Sequence[NodeStatus]) -> float:
    return sum(n.waiting_fraction for n in nodes) / len(nodes) if nodes else 0.0
