"""A run in one line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from acmelike.coordinator import Progress
from acmelike.metrics import NodeStatus


class ProgressLine:
    """Says what happened since it was last asked."""

    def __init__(self) -> None:
        self._started = self._before_time = time.perf_counter()
        self._before = Progress(0, 0, None, None)
        self._before_status: Mapping[str, NodeStatus] = {}

    def text(self, progress: Progress, status: Mapping[str, NodeStatus]) -> str:
        """Time, counts, rates, returns, and who waits for what."""
        now = time.perf_counter()
        seconds = now - self._before_time
        env_rate = (progress.env_steps - self._before.env_steps) / seconds
        learner_rate = (progress.learner_steps - self._before.learner_steps) / seconds
        parts = [
            f"{now - self._started:6.1f} s",
            f"{progress.env_steps:,} env steps ({env_rate:,.0f}/s)",
            f"{progress.learner_steps:,} updates ({learner_rate:,.0f}/s)",
        ]
        if progress.mean_return is not None and progress.best_return is not None:
            best = f"best {progress.best_return:.1f}"
            parts.append(f"return {progress.mean_return:.1f} ({best})")
        waits = ", ".join(self._waits(status, seconds))
        parts.append(f"waiting: {waits or 'nobody'}")
        self._before, self._before_time = progress, now
        self._before_status = status
        return " | ".join(parts)

    def _waits(self, status: Mapping[str, NodeStatus], seconds: float) -> Iterator[str]:
        """Who of those that do the work waited for a tenth of the time or more."""
        for label, node in status.items():
            if not label.startswith(("actor", "learner")):
                continue
            before = self._before_status.get(label)
            waited = {
                target: total - (before.waited_seconds.get(target, 0) if before else 0)
                for target, total in node.waited_seconds.items()
            }
            if waited:
                target = max(waited, key=waited.__getitem__)
                share = min(waited[target] / seconds, 1.0)
                if share >= 0.1:
                    yield f"{label} {share:.0%} for {target}"
