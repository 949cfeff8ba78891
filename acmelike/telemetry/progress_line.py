"""The progress of a run in one line, where there is no terminal for a table."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from acmelike.core.status import NodeStatus, group_by_role
from acmelike.evaluation.coordinator import Progress
from acmelike.telemetry.figures import return_text
from acmelike.telemetry.slow_steps import slow_steps

# The roles whose waiting costs speed. Other nodes spend their time waiting by design.
HARD_WORKERS = ("actor", "learner")


class ProgressLine:
    """Describes what happened since the last line.

    Args:
      started: the start of the run, on `time.perf_counter`.
    """

    def __init__(self, started: float) -> None:
        self._started, self._before_time = started, time.perf_counter()
        self._before = Progress(0, 0, None, None)
        self._before_status: Mapping[str, NodeStatus] = {}

    def text(self, progress: Progress | None, status: Mapping[str, NodeStatus]) -> str:
        """Returns the next line: time, counts, returns, waits, restarts, slow steps."""
        now = time.perf_counter()
        seconds = now - self._before_time
        parts = [f"{now - self._started:6.1f} s"]
        if progress is None and self._before.env_steps:
            parts.append("the coordinator does not answer")
            return " | ".join([*parts, *_restarts(status), *slow_steps(status)])
        if progress is None or progress.env_steps == 0:
            parts.append(f"starting: {_first_steps(status, HARD_WORKERS[::-1])}")
        else:
            parts.extend(self._counts(progress, status, seconds))
            parts.extend(self._waits(status, seconds))
            self._before = progress
        parts.extend(_restarts(status))
        parts.extend(slow_steps(status))
        self._before_time, self._before_status = now, status
        return " | ".join(parts)

    def _counts(
        self, progress: Progress, status: Mapping[str, NodeStatus], seconds: float
    ) -> Iterator[str]:
        rate = (progress.env_steps - self._before.env_steps) / seconds
        yield f"{progress.env_steps:,} steps, {rate:,.0f}/s"
        if progress.training_return is not None:
            yield f"training {return_text(progress.training_return)}"
        if progress.learner_steps == 0:
            yield f"no updates yet: {_first_steps(status, ['learner'])}"
            return
        rate = (progress.learner_steps - self._before.learner_steps) / seconds
        yield f"{progress.learner_steps:,} updates, {rate:,.0f}/s"
        if progress.mean_return is not None:
            assert progress.best_return is not None
            latest, best = map(
                return_text, (progress.mean_return, progress.best_return)
            )
            yield f"return {latest}, best {best}"

    def _waits(self, status: Mapping[str, NodeStatus], seconds: float) -> Iterator[str]:
        """Waits of the hard workers that took a tenth of the time or more."""
        roles = group_by_role(status.values())
        for role in HARD_WORKERS:
            nodes = roles.get(role, [])
            waited: dict[str, float] = defaultdict(float)
            for node in nodes:
                before = self._before_status.get(node.label)
                for target, total in node.waited_seconds.items():
                    since = before.waited_seconds.get(target, 0.0) if before else 0.0
                    waited[target] += min((total - since) / seconds, 1.0) / len(nodes)
            for target, share in waited.items():
                if share >= 0.1:
                    who = f"{role} waits" if len(nodes) == 1 else f"{role}s wait"
                    yield f"{who} {share:.0%} for {target}"


def _restarts(status: Mapping[str, NodeStatus]) -> Iterator[str]:
    """How often nodes were restarted so far, if any was."""
    if num_restarts := sum(node.num_restarts for node in status.values()):
        yield f"{num_restarts} restart{'s' if num_restarts > 1 else ''}"


def _first_steps(status: Mapping[str, NodeStatus], roles: Sequence[str]) -> str:
    """What the first node of each role does before its first step has ended."""
    nodes = group_by_role(status.values())
    return "; ".join(_first_step(nodes[role][0]) for role in roles if role in nodes)


def _first_step(node: NodeStatus) -> str:
    if node.waits_for:
        return f"{node.label} {node.activity}"
    if node.phase == "starting":
        return f"{node.label} is being made"
    return f"{node.label} is in its first step, which compiles"
