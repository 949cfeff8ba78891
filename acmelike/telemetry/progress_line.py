"""A run in one line."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping

from acmelike.core.status import NodeStatus
from acmelike.evaluation.coordinator import Progress
from acmelike.telemetry.long_evaluation import long_evaluation

# Nodes whose waiting costs something; the others are there to wait.
HARD_WORKERS = ("actor", "learner")


class ProgressLine:
    """Says what happened since it was last asked.

    Args:
      started: when the run began, by `time.perf_counter`.
    """

    def __init__(self, started: float) -> None:
        self._started, self._before_time = started, time.perf_counter()
        self._before = Progress(0, 0, None, None)
        self._before_status: Mapping[str, NodeStatus] = {}

    def text(self, progress: Progress | None, status: Mapping[str, NodeStatus]) -> str:
        """Time, counts, rates, returns, who waits for what, and who takes long."""
        now = time.perf_counter()
        seconds = now - self._before_time
        parts = [f"{now - self._started:6.1f} s"]
        if progress is None or progress.env_steps == 0:
            parts.append("starting: " + "; ".join(_first_steps(status)))
        else:
            parts.extend(self._counts(progress, status, seconds))
            parts.extend(self._waits(status, seconds))
            parts.extend(filter(None, [long_evaluation(status)]))
            self._before = progress
        self._before_time, self._before_status = now, status
        return " | ".join(parts)

    def _counts(
        self, progress: Progress, status: Mapping[str, NodeStatus], seconds: float
    ) -> Iterator[str]:
        rate = (progress.env_steps - self._before.env_steps) / seconds
        yield f"{progress.env_steps:,} steps, {rate:,.0f}/s"
        if progress.learner_steps == 0:
            yield f"no updates yet: {_doing(status['learner'])}"
            return
        rate = (progress.learner_steps - self._before.learner_steps) / seconds
        yield f"{progress.learner_steps:,} updates, {rate:,.0f}/s"
        if progress.mean_return is not None:
            yield f"return {progress.mean_return:.1f}, best {progress.best_return:.1f}"

    def _waits(self, status: Mapping[str, NodeStatus], seconds: float) -> Iterator[str]:
        """Who of those that do the work waited for a tenth of the time or more."""
        for kind in HARD_WORKERS:
            nodes = [n for n in status.values() if n.label.split("/")[0] == kind]
            waited: dict[str, float] = defaultdict(float)
            for node in nodes:
                before = self._before_status.get(node.label)
                for target, total in node.waited_seconds.items():
                    since = before.waited_seconds.get(target, 0.0) if before else 0.0
                    waited[target] += min((total - since) / seconds, 1.0) / len(nodes)
            for target, share in waited.items():
                if share >= 0.1:
                    who = f"{kind} waits" if len(nodes) == 1 else f"{kind}s wait"
                    yield f"{who} {share:.0%} for {target}"


def _first_steps(status: Mapping[str, NodeStatus]) -> Iterator[str]:
    """What those are at that keep the first environment step waiting."""
    for label in ("learner", "actor/0"):
        if label in status:
            yield _doing(status[label])


def _doing(node: NodeStatus) -> str:
    if node.waits_for:
        return f"{node.label} waits for {node.waits_for}"
    if node.phase == "starting":
        return f"{node.label} is being made"
    return f"{node.label} is in its first step, which compiles"
