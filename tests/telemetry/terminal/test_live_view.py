"""What the live table looks like, from snapshots made by hand."""

import math
from dataclasses import replace

import pytest
from rich.text import Text

from acmelike.core.status import ParkedCall
from acmelike.replay import TableInfo
from acmelike.telemetry.snapshot import EvaluationResult, RunSnapshot, TrainingEpisodes
from acmelike.telemetry.terminal import cells
from acmelike.telemetry.terminal.cells import curve
from acmelike.telemetry.terminal.live_view import Facts, allot, live_view
from acmelike.telemetry.terminal.rows import method_rows
from acmelike.telemetry.terminal.sections import Section, methods_section
from tests.telemetry.statuses import by_label, edge, method, status

FACTS = Facts(
    title="dqn on CartPole-v1",
    details="launched by processes, seed 3",
    max_env_steps=100_000,
    target=475.0,
    replay="replay",
    started=100.0,
)
FULL = "samples per insert: 7 of 7"
TRAINING = TrainingEpisodes(251.34, 1_251.34)


def table_info(**values):
    known = dict(
        name="transitions",
        size=25_000,
        max_size=100_000,
        num_inserted=25_000,
        num_sampled=50_000,
        num_prefetched=0,
        num_deleted=0,
        samples_per_insert=2.0,
        num_bytes=1_400_000,
        num_row_bytes=0,
        num_index_bytes=1_100_000,
    )
    return TableInfo(**{**known, **values})


def snapshot(at, num_actors=2, num_evaluations=4):
    """A run whose every count is a multiple of the seconds since its start."""
    actors = [
        status(
            f"actor/{index}",
            phase="waiting",
            waits_for="replay.insert",
            reason=FULL,
            num_steps=100 * at,
            worked_seconds=0.25 * at,
            waited_seconds={"replay.insert": 0.75 * at},
            edges={"replay.insert": edge(100 * at, 2_000 * at, 0.0042, 0.061)},
            process=20 + index,
            memory_bytes=270_000_000,
        )
        for index in range(num_actors)
    ]
    waits = [ParkedCall(actor.label, "write", FULL) for actor in actors]
    nodes = by_label(
        status(
            "replay",
            phase="serving",
            num_calls=1_200 * at,
            methods={
                "insert": method(
                    200 * at,
                    queue=(0.8 * at, 0.0041, 0.06),
                    run=(0.004 * at, 19e-6, 88e-6),
                ),
                "sample": method(
                    50 * at,
                    queue=(0.0 * at, 3e-6, 0.0009),
                    run=(0.012 * at, 231e-6, 0.0011),
                ),
                "act": method(
                    950 * at,
                    num_runs=100 * at,
                    queue=(1.9 * at, 0.002, 0.0035),
                    run=(0.41 * at, 0.004, 0.0061),
                ),
            },
            parked=(*waits, ParkedCall("coordinator", "past_env_steps", "far")),
            memory_bytes=45_000_000,
        ),
        status(
            "learner",
            num_steps=50 * at,
            worked_seconds=1.0 * at,
            edges={"replay.sample": edge(50 * at, 10_000_000 * at, 0.0003, 0.0012)},
            process=2,
            memory_bytes=430_000_000,
        ),
        *actors,
    )
    return RunSnapshot(
        seconds=100.0 + at,
        nodes=nodes,
        env_steps=1_000 * at,
        learner_steps=500 * at,
        tables=[table_info()],
        evaluations=[
            EvaluationResult(1_000 * n, 100.0 * n) for n in range(num_evaluations)
        ],
    )


def plain(lines):
    return [line.plain.rstrip() for line in lines]


WHOLE = """\
dqn on CartPole-v1  launched by processes, seed 3                           1:02
━━━━━━━━━━━━━━━━━━━━━━─────────────  62,000 of 100,000 steps  1,000/s  0:38 left

nodes          steps/s  calls/s   memory  busy/waits    waits for
● replay                  1,200    45 MB  serving
● learner         50.0            430 MB  ━━━━━━━━━━━━
● actor/0          100            270 MB  ━━━━━━━━━━━━   75% replay.insert  sam…
● actor/1          100            270 MB  ━━━━━━━━━━━━   75% replay.insert  sam…

edges          calls/s  bytes/s      p50      p99
  learner         50.0    10 MB   300 µs   1.2 ms  → replay.sample
  actor x2         200   4.0 kB   4.2 ms    61 ms  → replay.insert

tables            size       of   memory                samples/insert
  transitions   25,000  100,000   1.4 MB  ━━━─────────  2.00
  actor x2 waits for write  samples per insert: 7 of 7

returns  latest 300.0  best 300.0  target 475                     at 3,000 steps
     475
                                                                             ⣀⣀⣀
                                                     ⢀⣀⣀⣀⣀⣀⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉
                              ⣀⣀⣀⣀⣀⡠⠤⠤⠤⠤⠤⠔⠒⠒⠒⠒⠒⠊⠉⠉⠉⠉⠉⠁
       0 ⣀⣀⣀⠤⠤⠤⠤⠤⠤⠒⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉
"""


def test_the_whole_of_it():
    lines = plain(live_view(FACTS, [snapshot(60), snapshot(62)], 80, 23))
    assert "\n".join(lines) + "\n" == WHOLE


def test_at_the_end_nothing_is_left_and_the_pace_is_of_the_whole_run():
    history = [snapshot(60), snapshot(62)]
    lines = plain(live_view(FACTS, history, 80, 23, is_over=True))
    assert lines[1].endswith("  62,000 of 100,000 steps  1,000/s on average")


def test_the_memory_of_one_process_for_all_stands_in_the_title():
    now = snapshot(62)
    shared = {
        label: replace(node, process=1, memory_bytes=812_000_000)
        for label, node in now.nodes.items()
    }
    lines = plain(live_view(FACTS, [snapshot(60), replace(now, nodes=shared)], 80, 23))
    assert lines[0].endswith("  812 MB  1:02")
    rows = [line for line in lines if line.startswith("●")]
    assert len(rows) == 4 and not any("MB" in row for row in rows)


METHODS = """\
methods        calls/s  busy   queued      p99     runs      p99
  replay           200    0%   4.1 ms    60 ms    19 µs    88 µs  insert
  replay          50.0    1%   3.0 µs   900 µs   231 µs   1.1 ms  sample
  replay           950   41%   2.0 ms   3.5 ms   4.0 ms   6.1 ms  act x9.5
"""


def test_a_tall_one_has_room_for_the_methods_that_are_called():
    def methods(height):
        lines = plain(live_view(FACTS, [snapshot(60), snapshot(62)], 80, height))
        found = [n for n, line in enumerate(lines) if line.startswith("methods")]
        return lines[found[0] : lines.index("", found[0])] if found else []

    assert "\n".join(methods(39)) + "\n" == METHODS
    assert methods(23) == []


def test_without_room_for_all_methods_the_busiest_are_shown():
    rows = method_rows(snapshot(60).nodes, snapshot(62).nodes, 2.0)
    lines = plain(methods_section(rows, 80).draw(3))
    assert [line.split()[-1] for line in lines] == ["p99", "sample", "x9.5"]


def test_an_evaluation_that_takes_long_is_named_with_what_bounds_it():
    doing = "has played 1,234,567 steps"
    long = status("evaluator", doing=doing, working_seconds=3_456.7)
    text = f"{long.label} {doing} in 3,457 s; see --max-episode-steps"
    found = []
    for height in (3, 23):
        now = snapshot(62)
        now = replace(now, nodes={**now.nodes, "evaluator": long})
        found.append(plain(live_view(FACTS, [snapshot(60), now], 80, height)))
    assert [lines[2] for lines in found] == [text, text]
    assert [len(lines) for lines in found] == [3, 23]
    assert text not in plain(live_view(FACTS, [snapshot(60), snapshot(62)], 80, 23))


def test_a_constructor_that_hangs_is_named_in_its_row_and_above():
    hangs = status("actor/1", phase="starting", working_seconds=12.0)
    now = RunSnapshot(seconds=112.0, nodes=by_label(hangs))
    lines = plain(live_view(FACTS, [now], 120, 23))
    text = "working for 12 s in its constructor"
    assert lines[2] == f"actor/1 {text}"
    (row,) = [line for line in lines if line.startswith("○ actor/1")]
    assert row.endswith(text)


def test_a_wide_one_has_room_for_reasons_and_updates():
    text = "\n".join(plain(live_view(FACTS, [snapshot(60), snapshot(62)], 120, 39)))
    assert f" 75% replay.insert  {FULL}" in text
    assert "31,000 updates" in text


WIDTHS, HEIGHTS = (1, 20, 40, 79, 80, 109, 120, 200), (1, 2, 3, 5, 9, 15, 23, 39)


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("num_actors", "num_evaluations"), [(2, 0), (5, 1), (16, 300)])
def test_it_fits(width, height, num_actors, num_evaluations):
    history = [
        replace(snapshot(at, num_actors, num_evaluations), training=TRAINING)
        for at in (1, 2)
    ]
    lines = live_view(FACTS, history, width, height)
    assert 0 < len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_many_actors_are_one_row_and_what_matters_less_is_left_out():
    history = [snapshot(at, 16) for at in (1, 2)]
    tall = "\n".join(plain(live_view(FACTS, history, 120, 39)))
    assert "actor x16 " in tall and "actor/1" not in tall
    short = "\n".join(plain(live_view(FACTS, history, 80, 10)))
    assert "nodes" in short and "edges" not in short and "actor x16" in short


def test_a_run_that_has_just_begun_says_little():
    starting = by_label(status("replay", phase="starting"))
    for nodes in ({}, starting):
        first = RunSnapshot(seconds=101.0, nodes=nodes)
        lines = plain(live_view(FACTS, [first], 80, 23))
        assert lines[1].endswith("  0 of 100,000 steps  0/s")
        assert bool(nodes) == any("○ replay" in line for line in lines)
        for section in ("edges", "tables", "returns"):
            assert not any(line.startswith(section) for line in lines)


def test_a_node_that_failed_stands_out():
    nodes = by_label(status("actor/0", phase="failed"))
    view = live_view(FACTS, [RunSnapshot(seconds=101.0, nodes=nodes)], 80, 23)
    (line,) = [line for line in view if "actor/0" in line.plain]
    assert line.plain.startswith("✗") and "failed" in line.plain
    assert any(span.style == cells.BAD for span in line.spans)


def test_returns_that_are_no_numbers_are_not_drawn():
    made = [
        EvaluationResult(1_000, math.nan),
        EvaluationResult(2_000, 7.0),
        EvaluationResult(3_000, 7.0),
    ]
    last = RunSnapshot(seconds=101.0, nodes={}, evaluations=made)
    lines = plain(live_view(FACTS, [last], 80, 23))
    assert any("latest 7.00  best 7.00" in line for line in lines)


OF_TRAINING = "training  return 251.3  length 1,251.3"


def test_returns_of_training_stand_below_those_of_evaluations():
    now = replace(snapshot(62), training=TRAINING)
    for height in (13, 23):  # With the smallest curve, and with a larger one.
        lines = plain(live_view(FACTS, [snapshot(60), now], 80, height))
        (at,) = (n for n, line in enumerate(lines) if line.startswith("returns"))
        assert lines[at + 1].startswith(OF_TRAINING)
        assert lines[at + 1].endswith("mean of the last 100 episodes")
        assert lines[at + 2].startswith("     475")
        assert lines[-1].startswith("       0 ")


def test_returns_of_training_come_before_the_first_evaluation():
    first = RunSnapshot(seconds=101.0, training=TRAINING)
    lines = plain(live_view(FACTS, [first], 80, 23))
    assert lines[-1].startswith(OF_TRAINING)
    assert not any(line.startswith("returns") for line in lines)


def metrics_line(width, **metrics):
    last = RunSnapshot(seconds=101.0, metrics=metrics)
    lines = plain(live_view(FACTS, [last], width, 23))
    return next((line for line in lines if line.startswith("metrics")), None)


def test_the_latest_metrics_are_in_a_line():
    assert metrics_line(80) is None
    assert metrics_line(80, loss=0.123456, kl=-12345.6) == (
        "metrics  loss 0.1235  kl -1.235e+04"
    )
    assert metrics_line(80, loss=math.nan) == "metrics  loss nan"


def test_metrics_without_room_are_counted():
    names = {f"metric_{i}": float(i) for i in range(6)}
    assert metrics_line(49, **names) == ("metrics  metric_0 0  metric_1 1  and 4 more")
    assert metrics_line(79, **names).endswith("metric_5 5")
    assert metrics_line(78, **names).endswith("metric_3 3  and 2 more")


def test_lines_go_first_to_what_matters_most():
    def section(name, least, most):
        return Section(least, most, lambda n: [Text(name)] * n)

    parts = {"a": section("a", 2, 9), "b": section("b", 3, 5), "c": section("c", 1, 0)}

    def given(height):
        return {name: len(lines) for name, lines in allot(parts, height).items()}

    assert given(2) == {"a": 0, "b": 0, "c": 0}
    assert given(4) == {"a": 3, "b": 0, "c": 0}
    assert given(7) == {"a": 2, "b": 3, "c": 0}
    assert given(15) == {"a": 9, "b": 4, "c": 0}
    assert given(99) == {"a": 9, "b": 5, "c": 0}


# --- Its cells --------------------------------------------------------------------


def test_numbers_have_units():
    assert [cells.rate(v) for v in (0, 3.14159, 250.4, 12_345.6)] == [
        *("0.0", "3.1", "250", "12,346")
    ]
    assert [cells.size(v) for v in (0, 999, 1_400, 45e6, 1.25e9, 5e12)] == [
        *("0 B", "999 B", "1.4 kB", "45 MB", "1.2 GB", "5000.0 GB")
    ]
    assert [cells.duration(v) for v in (2e-6, 999.6e-6, 0.25, 3.21)] == [
        *("2.0 µs", "1.0 ms", "250 ms", "3.2 s")
    ]
    assert [cells.clock(v) for v in (7.9, 187, 3_787)] == ["0:07", "3:07", "1:03:07"]
    assert [cells.count(v) for v in (999_999, 1_500_000)] == ["999,999", "1.50 M"]


def test_a_bar_has_its_shares():
    def shares(*parts):
        bar = cells.bar(10, *parts)
        return bar.plain, [(span.end - span.start, span.style) for span in bar.spans]

    plain, spans = shares((0.25, "red"), (0.5, "blue"))
    assert plain == "━━━━━━━━──"
    assert spans == [(2, "red"), (6, "blue"), (2, cells.QUIET)]
    assert shares((1.5, "red"))[0] == "━" * 10
    assert shares()[0] == "─" * 10


def test_a_curve_rises_from_corner_to_corner_without_holes():
    assert curve([(0, 0.0), (3, 7.0)], 2, 2, low=0.0, high=7.0) == [" ⡜", "⡰⠁"]


def test_a_curve_begins_at_its_first_point():
    assert curve([(1, 5.0), (2, 5.0)], 4, 1, low=5.0, high=5.0) == ["  ⣀⣀"]
    assert curve([(2, 1.0)], 3, 1, low=0.0, high=1.0) == ["  ⠈"]
