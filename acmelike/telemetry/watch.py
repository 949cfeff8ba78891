"""Shows a run of any program while it lasts; also has the loop that shows lines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from acmelike.core.status import NodeStatus, group_by_role
from acmelike.errors import RpcClosed
from acmelike.launchers import Run
from acmelike.telemetry.snapshot import ProgramProbe
from acmelike.telemetry.terminal.live_table import find_terminal, watch_live
from acmelike.telemetry.terminal.live_view import Facts

PROGRESS_SECONDS = 2.0
QUIET_SECONDS = 30.0


def watch(run: Run) -> str:
    """Shows what the nodes of a run do, until it ends.

    A terminal shows the live table: nodes, the calls between them, what each node waits
    for, and the tables of replay. Elsewhere there is a line every few seconds, and
    fewer while nothing changes.

    Returns:
      Why the run ended.

    Raises:
      RunError: the run failed, as `Run.wait`.
    """
    console = find_terminal()
    if console is not None:
        probe = ProgramProbe(run)
        facts = Facts(
            title=f"program '{run.program.name}'",
            replay=probe.replays[0] if len(probe.replays) == 1 else None,
            started=time.perf_counter(),
        )
        return watch_live(run, probe, facts, console)

    def look() -> tuple[object, Callable[[], str]]:
        line = describe(run.status())
        return line, lambda: line

    return watch_in_lines(run, look, _show, PROGRESS_SECONDS, QUIET_SECONDS)


def watch_in_lines(
    run: Run,
    look: Callable[[], tuple[object, Callable[[], str]]],
    show: Callable[[str], None],
    seconds: float,
    quiet_seconds: float,
) -> str:
    """Shows a line every few seconds, and fewer while there is no news.

    Args:
      run: the run.
      look: returns the news, and a function that makes a line of them. The line is made
        and shown if the news differ from those of the last line. `look` may raise
        RpcClosed when the run ends.
      show: shows a line.
      seconds: the time between two calls of `look`.
      quiet_seconds: after so long, a line is shown even without news.

    Returns:
      Why the run ended.

    Raises:
      RunError: the run failed, as `Run.wait`.
    """
    before: object = None
    said_at = -math.inf
    while not run.is_over(within=seconds):
        with suppress(RpcClosed):  # The run ended meanwhile, and `wait` returns why.
            news, make_line = look()
            # Without news, somebody may be at a breakpoint and reading its output.
            if news != before or time.monotonic() - said_at >= quiet_seconds:
                show(make_line())
                before, said_at = news, time.monotonic()
    return run.wait()


def describe(nodes: Mapping[str, NodeStatus]) -> str:
    """What nodes do, in a line: one of each role, and how many others there are."""
    parts = []
    for alike in group_by_role(nodes.values()).values():
        others = f", and {len(alike) - 1} more" if len(alike) > 1 else ""
        parts.append(f"{alike[0]}{others}")
    return "; ".join(parts)


def _show(line: str) -> None:
    with suppress(OSError, ValueError):  # The run goes on without it.
        print(line, flush=True)
