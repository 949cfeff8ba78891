"""Shows a run while it lasts: a live table, a curve, or a line every few seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from acmelike.core import deadline
from acmelike.errors import RpcTimeout
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.process import tell
from acmelike.launchers import Run
from acmelike.telemetry.notebook import NotebookView, is_notebook
from acmelike.telemetry.progress_line import ProgressLine
from acmelike.telemetry.slow_steps import slow_steps
from acmelike.telemetry.snapshot import LOOK_SECONDS, Probe, has_started
from acmelike.telemetry.terminal.live_table import find_terminal, watch_live
from acmelike.telemetry.terminal.live_view import Facts
from acmelike.telemetry.watch import PROGRESS_SECONDS, QUIET_SECONDS, watch_in_lines
from acmelike.topologies.system import System

logger = logging.getLogger("acmelike")


def say(line: str) -> None:
    """Prints a line, and logs it."""
    tell(line)
    logger.info("%s", line.strip())


def watch_training(
    run: Run,
    system: System,
    *,
    config: ExperimentConfig[Any],
    metrics: Path,
    started: float,
) -> str:
    """Shows a run until it ends; returns the reason for its end.

    Args:
      run: of the system.
      system: what runs.
      config: the flags.
      metrics: the file of the run's records.
      started: when the command started, on `time.perf_counter`.
    """
    title = f"{system.program.name} on {config.environment}"
    if config.live and is_notebook():
        view = NotebookView(metrics, title=title, target=config.stop_at_return)
        try:
            return _watch_in_lines(run, system, started, view.show)
        finally:
            view.show_curve()
    console = find_terminal() if config.live else None
    if console is None:
        return _watch_in_lines(run, system, started, say)
    label = system.program.entry(system.replay).label
    facts = Facts(
        title=title,
        details=f"launched by {config.launch}, seed {config.seed}",
        max_env_steps=config.max_env_steps,
        target=config.stop_at_return,
        replay=label,
        started=started,
    )
    return watch_live(run, Probe(run, system.replay, label, metrics), facts, console)


def _watch_in_lines(
    run: Run, system: System, started: float, show: Callable[[str], None]
) -> str:
    """Shows a line every few seconds; fewer while nothing changes."""
    line, coordinator = ProgressLine(started), run.client(system.coordinator)

    def look() -> tuple[object, Callable[[], str]]:
        status, progress = run.status(), None
        # If the coordinator hangs, the line says so by its status.
        with suppress(RpcTimeout), deadline(LOOK_SECONDS):
            if has_started(status, "coordinator"):
                progress = coordinator.progress()
        news = progress, bool(slow_steps(status))
        return news, partial(line.text, progress, status)

    return watch_in_lines(run, look, show, PROGRESS_SECONDS, QUIET_SECONDS)
