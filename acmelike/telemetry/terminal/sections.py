"""The sections of the live table: nodes, edges, methods, tables, metrics, returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.text import Text

from acmelike.core.status import ParkedCall
from acmelike.replay import TableInfo
from acmelike.telemetry.figures import return_text
from acmelike.telemetry.snapshot import EvaluationResult, TrainingEpisodes
from acmelike.telemetry.terminal.cells import (
    BAD,
    BUSY,
    GAP,
    QUIET,
    TITLE,
    WAITING,
    TableColumn,
    bar,
    count,
    curve,
    duration,
    ends,
    fit,
    rate,
    several,
    size,
    table,
)
from acmelike.telemetry.terminal.rows import EdgeRow, MethodRow, NodeRow

WIDE = 110  # Terminals of at least this width have room for longer names.
NUMBER, BAR = 7, 12
_SYMBOLS = {"starting": "○", "restarting": "○", "failed": "✗", "ended": "·"}
_STYLES = {"working": BUSY, "waiting": WAITING, "restarting": BAD, "failed": BAD}


class Section(NamedTuple):
    """A part of the live table whose height can vary.

    Attributes:
      min_lines: with fewer lines it is left out.
      max_lines: it has no use for more lines; 0 if there is nothing to show.
      draw: returns at most this number of lines.
    """

    min_lines: int
    max_lines: int
    draw: Callable[[int], list[Text]]


def nodes_section(rows: Sequence[NodeRow], width: int) -> Section:
    """What each node does; if there are too many nodes, the first ones."""

    def draw(height: int) -> list[Text]:
        shown = rows if len(rows) < height else rows[: height - 2]
        lines = table(
            [
                TableColumn("nodes", [_label(row) for row in shown], _first(width)),
                TableColumn("steps/s", [_steps(row) for row in shown], NUMBER, True),
                TableColumn("calls/s", [_calls(row) for row in shown], NUMBER, True),
                TableColumn("memory", [_memory(row) for row in shown], NUMBER, True),
                TableColumn(_KEY, [_busy(row) for row in shown], BAR),
                TableColumn("waits for", [_waits(row) for row in shown]),
            ],
            width,
        )
        if hidden := len(rows) - len(shown):
            lines.append(fit(Text(f"  and {hidden} more", QUIET), width))
        return lines

    return Section(3, 1 + len(rows) if rows else 0, draw)


def edges_section(rows: Sequence[EdgeRow], width: int) -> Section:
    """The traffic of each edge; if there are too many edges, the busiest ones."""
    has_bytes = any(row.bytes_per_second is not None for row in rows)

    def draw(height: int) -> list[Text]:
        busiest = sorted(rows, key=lambda row: -row.num_calls)[: height - 1]
        shown = [row for row in rows if row in busiest]
        return table(
            [
                TableColumn("edges", [_caller(row) for row in shown], _first(width)),
                TableColumn("calls/s", [_made(row) for row in shown], NUMBER, True),
                TableColumn(
                    "bytes/s" if has_bytes else "",
                    [_bytes(row) for row in shown],
                    NUMBER,
                    True,
                ),
                _times("p50", [row.p50_seconds for row in shown]),
                _times("p99", [row.p99_seconds for row in shown]),
                TableColumn("", [_target(row) for row in shown]),
            ],
            width,
        )

    return Section(4, 1 + len(rows) if rows else 0, draw)


def methods_section(rows: Sequence[MethodRow], width: int) -> Section:
    """How long the calls of each method wait and run; if too many, the busiest ones."""

    def draw(height: int) -> list[Text]:
        busiest = sorted(rows, key=lambda row: -row.run_seconds)[: height - 1]
        shown = [row for row in rows if row in busiest]
        labels = [f"  {several(row.label, row.num_nodes)}" for row in shown]
        return table(
            [
                TableColumn("methods", labels, _first(width)),
                TableColumn(
                    "calls/s", [rate(r.calls_per_second) for r in shown], NUMBER, True
                ),
                TableColumn("busy", [f"{r.busy:.0%}" for r in shown], 4, True),
                _times("queued", [r.queue_p50_seconds for r in shown]),
                _times("p99", [r.queue_p99_seconds for r in shown]),
                _times("runs", [r.run_p50_seconds for r in shown]),
                _times("p99", [r.run_p99_seconds for r in shown]),
                TableColumn("", [_method(row) for row in shown]),
            ],
            width,
        )

    return Section(4, 1 + len(rows) if rows else 0, draw)


def tables_section(
    infos: Sequence[TableInfo], waits: Sequence[tuple[int, ParkedCall]], width: int
) -> Section:
    """What each table holds; below, which nodes wait to insert or sample, and why."""
    methods = ("write", "insert", "sample")
    inserting = [wait for wait in waits if wait[1].method in methods]

    def draw(height: int) -> list[Text]:
        shown = infos[: height - 2]
        lines = table(
            [
                TableColumn("tables", [f"  {i.name}" for i in shown], _first(width)),
                TableColumn("size", [count(i.size) for i in shown], NUMBER, True),
                TableColumn("of", [count(i.max_size) for i in shown], NUMBER, True),
                TableColumn("memory", [size(i.num_bytes) for i in shown], NUMBER, True),
                TableColumn("", [_fill(i) for i in shown], BAR),
                TableColumn("samples/insert", [_ratio(i) for i in shown]),
            ],
            width,
        )
        # The line is there even without text, so that the lines below it do not move.
        return [*lines, fit(Text("; ", QUIET).join(map(_parked, inserting)), width)]

    return Section(3, 2 + len(infos) if infos else 0, draw)


def metrics_section(metrics: Mapping[str, float], width: int) -> Section:
    """The latest value of each of the learner's metrics, as many as fit in a line."""

    def draw(height: int) -> list[Text]:
        line = Text("metrics", TITLE)
        for index, (name, value) in enumerate(metrics.items()):
            num_more = len(metrics) - index
            more = Text(f"{GAP}and {num_more} more", QUIET)
            cell = Text.assemble(GAP, (f"{name} ", QUIET), f"{value:.4g}")
            room = width - line.cell_len - cell.cell_len
            if room < (0 if num_more == 1 else more.cell_len):
                line.append_text(more)
                break
            line.append_text(cell)
        return [fit(line, width)]

    return Section(1, 1 if metrics else 0, draw)


def returns_section(
    evaluations: Sequence[EvaluationResult],
    training: TrainingEpisodes | None,
    target: float | None,
    width: int,
) -> Section:
    """The latest and the best return, those of training, and a curve of evaluations.

    Before the first evaluation only the returns of training are shown.
    """
    made = [e for e in evaluations if math.isfinite(e.mean_return)]
    num_of_training = 0 if training is None else 1

    def draw(height: int) -> list[Text]:
        of_training = [] if training is None else [_training(training, width)]
        if not made:
            return of_training
        height -= len(of_training)
        returns = [evaluation.mean_return for evaluation in made]
        left = Text.assemble(("returns", TITLE), f"  latest {return_text(returns[-1])}")
        left.append(f"  best {return_text(max(returns))}")
        if target is not None:
            left.append(f"  target {target:g}", QUIET)
        right = Text(f"at {made[-1].env_steps:,} steps", QUIET)
        goal = -math.inf if target is None else target
        low, high = min(returns), max(*returns, goal, min(returns) + 1)
        marks = [f"{high:.4g}", *[""] * (height - 3), f"{low:.4g}"]
        lines = curve(made, max(1, width - 9), height - 1, low=low, high=high)
        return [
            ends(left, right, width),
            *of_training,
            *(
                fit(Text.assemble((f"{mark:>8} ", QUIET), (line, BUSY)), width)
                for mark, line in zip(marks, lines, strict=True)
            ),
        ]

    if not made:
        return Section(1, num_of_training, draw)
    return Section(4, 9 + num_of_training, draw)


# --- Their cells ------------------------------------------------------------------

_KEY = Text.assemble(("busy", BUSY), ("/waits", WAITING))


def _first(width: int) -> int:
    """The width of the first column; it is the same in every section."""
    return 16 if width >= WIDE else 13


def _label(row: NodeRow) -> Text:
    symbol, style = _SYMBOLS.get(row.phase, "●"), _STYLES.get(row.phase, QUIET)
    return Text.assemble((symbol, style), " ", several(row.label, row.num_nodes))


def _steps(row: NodeRow) -> str:
    return rate(row.steps_per_second) if row.is_worker else ""


def _calls(row: NodeRow) -> str:
    return rate(row.calls_per_second) if row.num_calls else ""


def _memory(row: NodeRow) -> str:
    return size(row.memory_bytes) if row.memory_bytes else ""


def _busy(row: NodeRow) -> Text:
    if not row.is_worker:
        return Text(row.phase, QUIET)
    return bar(BAR, (row.busy, BUSY), (row.waiting, WAITING))


def _waits(row: NodeRow) -> Text:
    if row.phase == "failed":
        return Text(row.phase, BAD)
    restarts = Text()
    if row.num_restarts:
        plural = "s" if row.num_restarts > 1 else ""
        restarts = Text(f"{row.num_restarts} restart{plural}  ", BAD)
    if row.phase == "restarting":
        return restarts.append(row.phase, WAITING)
    if row.slow_step:
        return restarts.append(row.slow_step, WAITING)
    if row.waiting < 0.005:
        return restarts
    share = (f"{row.waiting:4.0%} {row.waits_for}", WAITING)
    return Text.assemble(restarts, share, (f"  {row.reason}", QUIET))


def _caller(row: EdgeRow) -> str:
    return f"  {several(row.caller, row.num_callers)}"


def _made(row: EdgeRow) -> str:
    return rate(row.calls_per_second)


def _bytes(row: EdgeRow) -> str:
    return "" if row.bytes_per_second is None else size(row.bytes_per_second)


def _times(title: str, seconds: Sequence[float | None]) -> TableColumn:
    return TableColumn(title, [_time(value) for value in seconds], NUMBER, True)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _method(row: MethodRow) -> Text:
    name = Text(row.method)
    if row.batch_size >= 1.05:
        name.append(f" x{row.batch_size:.1f}", QUIET)
    return name


def _target(row: EdgeRow) -> Text:
    return Text.assemble(("→ ", QUIET), row.target)


def _fill(info: TableInfo) -> Text:
    return bar(BAR, (info.size / info.max_size, BUSY))


def _ratio(info: TableInfo) -> str:
    return f"{info.samples_per_insert:.2f}" if info.num_inserted else ""


def _training(episodes: TrainingEpisodes, width: int) -> Text:
    mean_return = return_text(episodes.mean_return)
    left = Text.assemble(("training", TITLE), f"  return {mean_return}")
    left.append(f"  length {episodes.mean_length:,.1f}")
    return ends(left, Text("mean of the last 100 episodes", QUIET), width)


def _parked(wait: tuple[int, ParkedCall]) -> Text:
    number, call = wait
    who = f"  {several(call.caller, number)} waits for {call.method}"
    return Text.assemble((who, WAITING), (f"  {call.reason}", QUIET))
