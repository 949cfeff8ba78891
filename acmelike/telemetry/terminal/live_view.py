"""The live table as lines of text: a pure function of snapshots of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from acmelike.telemetry.slow_steps import slow_steps
from acmelike.telemetry.snapshot import RunSnapshot
from acmelike.telemetry.terminal.cells import (
    BUSY,
    QUIET,
    TITLE,
    WAITING,
    bar,
    clock,
    ends,
    fit,
    size,
)
from acmelike.telemetry.terminal.rows import (
    edge_rows,
    method_rows,
    node_rows,
    parked_calls,
    shared_memory_bytes,
)
from acmelike.telemetry.terminal.sections import (
    WIDE,
    Section,
    edges_section,
    methods_section,
    metrics_section,
    nodes_section,
    returns_section,
    tables_section,
)

TALL = 34  # Terminals of at least this height have room for several actors.
MAX_ROWS, MAX_ROWS_TALL = 2, 6  # Nodes of one role that get a row each.


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a run that do not change while it lasts.

    Attributes:
      title: what runs, such as the agent and the environment.
      details: how it was started, such as the launcher and the seed.
      max_env_steps: the budget of environment steps; None for a program without one.
      target: the return at which the run ends early, or None.
      replay: the label of the replay node, or None.
      started: the start of the run, on `time.perf_counter`.
    """

    title: str
    details: str = ""
    max_env_steps: int | None = None
    target: float | None = None
    replay: str | None = None
    started: float


def live_view(
    facts: Facts,
    history: Sequence[RunSnapshot],
    width: int,
    height: int,
    *,
    is_over: bool = False,
) -> list[Text]:
    """Draws the live table.

    Args:
      facts: of the run.
      history: the latest snapshots, at least one. Rates are of the time between the
        last two; the remaining time is estimated from all of them.
      width: of the terminal, in characters.
      height: of the terminal, in lines.
      is_over: whether the run has ended. Then no time remains, and the pace is that of
        the whole run.

    Returns:
      At most `height` lines of at most `width` characters.
    """
    before, now = (
        history[-2:] if len(history) > 1 else (RunSnapshot(seconds=0), *history)
    )
    seconds = now.seconds - before.seconds
    max_rows = MAX_ROWS_TALL if height >= TALL else MAX_ROWS
    nodes = node_rows(before.nodes, now.nodes, seconds, max_per_role=max_rows)
    if shared_memory_bytes(now.nodes) is not None:  # It stands in the title then.
        nodes = [replace(row, memory_bytes=None) for row in nodes]
    edges = edge_rows(before.nodes, now.nodes, seconds)
    methods = method_rows(before.nodes, now.nodes, seconds)
    waits = [] if facts.replay is None else parked_calls(now.nodes, facts.replay)
    head = [_title(facts, now, width)]
    if facts.max_env_steps is not None:
        head.append(_progress(facts, history, facts.max_env_steps, width, is_over))
    if slow := slow_steps(now.nodes):
        head.append(fit(Text("; ".join(slow), WAITING), width))
    given = allot(
        {
            "nodes": nodes_section(nodes, width),
            "returns": returns_section(
                now.evaluations, now.training, facts.target, width
            ),
            "tables": tables_section(now.tables, waits, width),
            "metrics": metrics_section(now.metrics, width),
            "edges": edges_section(edges, width),
            "methods": methods_section(methods, width),
        },
        height - len(head),
    )
    for name in ("nodes", "edges", "methods", "tables", "metrics", "returns"):
        head += [Text(), *given[name]] if given[name] else []
    return head[:height]


def allot(sections: dict[str, Section], height: int) -> dict[str, list[Text]]:
    """Divides `height` lines among sections and draws them.

    In the order of the sections, each first gets its minimum and a blank line above,
    if there is still room. Then the lines left over go to the first sections that have
    a use for them.
    """
    given = dict.fromkeys(sections, 0)
    for name, section in sections.items():
        if section.max_lines and section.min_lines + 1 <= height:
            given[name] = min(section.min_lines, section.max_lines)
            height -= 1 + given[name]
    for name, section in sections.items():
        if given[name]:
            more = min(section.max_lines - given[name], height)
            given[name] += more
            height -= more
    return {n: sections[n].draw(lines) if lines else [] for n, lines in given.items()}


def _title(facts: Facts, now: RunSnapshot, width: int) -> Text:
    left = Text.assemble((facts.title, TITLE), (f"  {facts.details}", QUIET))
    right = Text(clock(now.seconds - facts.started))
    if memory := shared_memory_bytes(now.nodes):
        right = Text(f"{size(memory)}  ", QUIET).append_text(right)
    return ends(left, right, width)


def _progress(
    facts: Facts,
    history: Sequence[RunSnapshot],
    max_env_steps: int,
    width: int,
    is_over: bool,
) -> Text:
    """The used budget as a bar, and the remaining time at the present pace."""
    now = history[-1]
    right = Text(f"{now.env_steps:,} of {max_env_steps:,} steps")
    if is_over:
        mean = now.env_steps / max(now.seconds - facts.started, 1e-9)
        right.append(f"  {mean:,.0f}/s on average")
    else:
        right.append(f"  {_pace(history[-2:]):,.0f}/s")
    if width >= WIDE:
        right.append(f"  {now.learner_steps:,} updates")
    pace, left = _pace(history), max_env_steps - now.env_steps
    if pace > 0 and left > 0 and not is_over:
        right.append(f"  {clock(left / pace)} left", QUIET)
    share = min(1.0, now.env_steps / max_env_steps)
    length = max(0, width - right.cell_len - 2)
    return ends(bar(length, (share, BUSY)), right, width)


def _pace(history: Sequence[RunSnapshot]) -> float:
    """Environment steps per second, from the first snapshot to the last."""
    first, last = history[0], history[-1]
    seconds = last.seconds - first.seconds or 1.0
    return (last.env_steps - first.env_steps) / seconds
