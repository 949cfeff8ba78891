"""Shows a run of any program while it lasts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress

from acmelike.core.status import NodeStatus, group_by_role
from acmelike.launchers import Run
from acmelike.telemetry.snapshot import StatusProbe
from acmelike.telemetry.terminal.live_table import find_terminal, watch_live
from acmelike.telemetry.terminal.live_view import Facts

LINE_SECONDS = 2.0
QUIET_SECONDS = 30.0


def watch(run: Run) -> str:
    """Shows what the nodes of a run do, until it ends.

    A terminal shows the live table: nodes, the calls between them, and who waits for
    what. Elsewhere there is a line every few seconds, and fewer while nothing changes.

    Returns:
      Why the run ended.

    Raises:
      RunError: the run failed, as `Run.wait`.
    """
    console = find_terminal()
    if console is not None:
        facts = Facts(
            title=f"program '{run.program.name}'", started=time.perf_counter()
        )
        return watch_live(run, StatusProbe(run), facts, console)
    before, said_at = "", -math.inf
    while not run.is_over(within=LINE_SECONDS):
        line = describe(run.status())
        if line != before or time.monotonic() - said_at >= QUIET_SECONDS:
            with suppress(OSError, ValueError):  # The run goes on without it.
                print(line, flush=True)
            before, said_at = line, time.monotonic()
    return run.wait()


def describe(nodes: Mapping[str, NodeStatus]) -> str:
    """What nodes do, in a line: one of each role, and how many others there are."""
    parts = []
    for alike in group_by_role(nodes.values()).values():
        others = f", and {len(alike) - 1} more" if len(alike) > 1 else ""
        parts.append(f"{alike[0]}{others}")
    return "; ".join(parts)
