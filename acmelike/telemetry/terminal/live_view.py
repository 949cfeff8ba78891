"""The live table as lines of text: a pure function of what is known of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from acmelike.telemetry.slow_steps import slow_steps
from acmelike.telemetry.snapshot import Snapshot
from acmelike.telemetry.terminal.cells import (
    BUSY,
    QUIET,
    TITLE,
    WAITING,
    bar,
    clock,
    ends,
    fit,
)
from acmelike.telemetry.terminal.rows import edge_rows, node_rows, parked_calls
from acmelike.telemetry.terminal.sections import (
    WIDE,
    Section,
    edges_section,
    nodes_section,
    returns_section,
    tables_section,
)

TALL = 34  # Lines from which on there is room for several actors.


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What does not change during a run.

    Attributes:
      agent: its name.
      environment: its name.
      launcher: its name.
      seed: of the program.
      max_env_steps: the budget.
      target: the return to reach, or None.
      replay: the label of the node that has the tables.
      started: when the run began, by `time.perf_counter`.
    """

    agent: str
    environment: str
    launcher: str
    seed: int
    max_env_steps: int
    target: float | None
    replay: str
    started: float


def live_view(
    facts: Facts, history: Sequence[Snapshot], width: int, height: int
) -> list[Text]:
    """The view in at most `height` lines of at most `width` characters.

    Args:
      facts: of the run.
      history: the latest snapshots, at least one. Rates are over the time between the
        last two; the time left is judged by all.
      width: of the terminal.
      height: of the terminal.
    """
    before, now = history[-2:] if len(history) > 1 else (Snapshot(seconds=0), *history)
    seconds, most = now.seconds - before.seconds, 6 if height >= TALL else 2
    nodes = node_rows(before.nodes, now.nodes, seconds, max_per_role=most)
    edges = edge_rows(before.nodes, now.nodes, seconds)
    waits = parked_calls(now.nodes, facts.replay)
    head = [_title(facts, now, width), _progress(facts, history, width)]
    if slow := slow_steps(now.nodes):
        head.append(fit(Text("; ".join(slow), WAITING), width))
    given = allot(
        {
            "nodes": nodes_section(nodes, width),
            "returns": returns_section(now.evaluations, facts.target, width),
            "tables": tables_section(now.tables, waits, width),
            "edges": edges_section(edges, width),
        },
        height - len(head),
    )
    for name in ("nodes", "edges", "tables", "returns"):
        head += [Text(), *given[name]] if given[name] else []
    return head[:height]


def allot(sections: dict[str, Section], height: int) -> dict[str, list[Text]]:
    """Draws sections, the important ones first, in `height` lines.

    All that fit get their least, and a blank line above; what is left then goes to the
    first that has a use for it.
    """
    given = dict.fromkeys(sections, 0)
    for name, section in sections.items():
        if section.most and section.least + 1 <= height:
            given[name] = min(section.least, section.most)
            height -= 1 + given[name]
    for name, section in sections.items():
        if given[name]:
            more = min(section.most - given[name], height)
            given[name] += more
            height -= more
    return {n: sections[n].draw(lines) if lines else [] for n, lines in given.items()}


def _title(facts: Facts, now: Snapshot, width: int) -> Text:
    left = Text.assemble(
        (f"{facts.agent} on {facts.environment}", TITLE),
        (f"  launched by {facts.launcher}, seed {facts.seed}", QUIET),
    )
    return ends(left, Text(clock(now.seconds - facts.started)), width)


def _progress(facts: Facts, history: Sequence[Snapshot], width: int) -> Text:
    """The budget as a bar, and how long the rest of it takes at the latest pace."""
    now = history[-1]
    right = Text(f"{now.env_steps:,} of {facts.max_env_steps:,} steps")
    right.append(f"  {_pace(history[-2:]):,.0f}/s")
    if width >= WIDE:
        right.append(f"  {now.learner_steps:,} updates")
    pace, left = _pace(history), facts.max_env_steps - now.env_steps
    if pace > 0 and left > 0:
        right.append(f"  {clock(left / pace)} left", QUIET)
    share = min(1.0, now.env_steps / facts.max_env_steps)
    length = max(0, width - right.cell_len - 2)
    return ends(bar(length, (share, BUSY)), right, width)


def _pace(history: Sequence[Snapshot]) -> float:
    """Environment steps per second, from the first snapshot to the last."""
    first, last = history[0], history[-1]
    seconds = last.seconds - first.seconds or 1.0
    return (last.env_steps - first.env_steps) / seconds
