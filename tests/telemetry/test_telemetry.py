"""What people see of a run: the log, the progress line, the summary, the curve."""

import io
import logging
import math
import struct

import numpy as np
import pytest

from acmelike.errors import NodeFailed
from acmelike.evaluation.coordinator import Progress
from acmelike.files import append_json_line, read_json_lines
from acmelike.telemetry import plots
from acmelike.telemetry.logs import logging_to
from acmelike.telemetry.plots import (
    draw_curve,
    metric_series,
    plot_curve,
    plot_metrics,
    running_mean,
)
from acmelike.telemetry.progress_line import ProgressLine
from acmelike.telemetry.summary import read_records, summarize
from tests.telemetry.statuses import by_label, status

# --- The progress line ------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be set."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def test_a_line_has_counts_rates_returns_and_who_waits(clock):
    line = ProgressLine(98.0)
    clock[0] += 2
    before = by_label(
        status("actor/0", waited_seconds={"replay.insert": 1.0}),
        status("actor/1", waited_seconds={"replay.insert": 0.0}),
        status("learner", waited_seconds={"replay.sample": 0.1}),
        status("evaluator", waited_seconds={"coordinator.next_evaluation": 2.0}),
    )
    first = line.text(Progress(1_000, 200, None, None), before)
    assert first == (
        "   4.0 s | 1,000 steps, 500/s | 200 updates, 100/s"
        " | actors wait 25% for replay.insert"
    )
    clock[0] += 2
    after = by_label(
        status("actor/0", waited_seconds={"replay.insert": 1.0}),
        status("actor/1", waited_seconds={"replay.insert": 0.0}),
        status("learner", waited_seconds={"replay.sample": 1.1}),
    )
    second = line.text(Progress(21_000, 2_200, 13.84, 60.0, 9.96), after)
    assert second == (
        "   6.0 s | 21,000 steps, 10,000/s | training 9.96 | 2,200 updates, 1,000/s"
        " | return 13.8, best 60.0 | learner waits 50% for replay.sample"
    )


def test_a_line_says_what_the_start_is_about(clock):
    line = ProgressLine(100.0)
    clock[0] += 2
    nodes = by_label(
        status(
            "actor/0",
            phase="waiting",
            waits_for="learner.next_parameters",
            reason="why",
        ),
        status("learner", phase="starting"),
    )
    starting = (
        "   2.0 s | starting: learner is being made; "
        "actor/0 waits for learner.next_parameters: why"
    )
    assert line.text(None, nodes) == starting
    assert line.text(Progress(0, 0, None, None), nodes) == starting
    slow = by_label(status("learner", working_seconds=12.0))
    assert line.text(None, slow).endswith(
        "learner is in its first step, which compiles | learner working for 12 s"
    )
    starts = by_label(
        status("actor/0", phase="starting", working_seconds=2.0),
        status("actor/1", phase="starting", working_seconds=12.0),
    )
    assert line.text(None, starts).endswith(
        "starting: actor/0 is being made | actor/1 working for 12 s in its constructor"
    )


def test_a_line_says_that_the_coordinator_does_not_answer(clock):
    line = ProgressLine(100.0)
    for steps in (0, 1_000):
        clock[0] += 1
        line.text(Progress(steps, 0, None, None), {})
    clock[0] += 2
    slow = by_label(status("coordinator", working_seconds=12.0))
    assert line.text(None, slow) == (
        "   4.0 s | the coordinator does not answer | coordinator working for 12 s"
    )
    clock[0] += 2
    assert line.text(Progress(3_000, 0, None, None), {}).startswith(
        "   6.0 s | 3,000 steps, 500/s |"
    )


def test_a_line_says_why_there_are_no_updates(clock):
    line = ProgressLine(100.0)
    clock[0] += 2
    compiling = line.text(Progress(8, 0, None, None), by_label(status("learner")))
    assert "no updates yet: learner is in its first step, which compiles" in compiling
    clock[0] += 2
    waiting = status(
        "learner", phase="waiting", waits_for="replay.sample", reason="8 of 50"
    )
    filling = line.text(Progress(8, 0, None, None), by_label(waiting))
    assert "no updates yet: learner waits for replay.sample: 8 of 50" in filling


def test_a_line_says_whose_evaluation_takes_long(clock):
    line = ProgressLine(100.0)
    clock[0] += 2
    doing = "has played 12,345 steps"
    actor = status("actor/0", waited_seconds={"learner.next_parameters": 2.0})
    short = status("evaluator", doing=doing, working_seconds=4.9)
    before = line.text(Progress(640, 9, None, None), by_label(actor, short))
    assert "evaluator" not in before
    clock[0] += 2
    long = status("evaluator", doing=doing, working_seconds=34.2)
    learner = status("learner", working_seconds=60.0)
    after = line.text(Progress(640, 9, None, None), by_label(actor, learner, long))
    assert after.endswith(
        " | learner working for 60 s"
        " | evaluator has played 12,345 steps in 34 s; see --max-episode-steps"
    )


def test_restarts_are_counted():
    progress = Progress(640, 9, None, None)
    line = ProgressLine(0.0)
    assert "restart" not in line.text(progress, by_label(status("actor/0")))
    one = by_label(status("actor/0", num_restarts=1), status("learner"))
    assert line.text(progress, one).endswith(" | 1 restart")
    two = by_label(status("actor/0", num_restarts=1), status("b", num_restarts=1))
    assert line.text(progress, two).endswith(" | 2 restarts")


# --- The summary ------------------------------------------------------------------


def test_of_very_many_counters_some_are_read_and_the_latest(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_records(path, max_counters=1) == []
    for number in range(100):
        append_json_line(path, {"event": "progress", "env_steps": number})
        if number in (0, 50):
            append_json_line(path, {"event": "evaluation", "mean_return": number})
    whole = read_json_lines(path)
    assert read_records(path, max_counters=100) == whole
    for max_counters in (1, 10):
        read = read_records(path, max_counters=max_counters)
        assert read == [record for record in whole if record in read]  # In order.
        counters = [r["env_steps"] for r in read if r["event"] == "progress"]
        assert [r["mean_return"] for r in read if "mean_return" in r] == [0, 50]
        assert counters[-1] == 99 and max_counters / 2 <= len(counters) - 1
        assert len(counters) - 1 <= max_counters
        assert len({*np.diff(counters[:-1])}) <= 1  # Evenly many.


def test_a_summary_of_records():
    lines = [
        {"event": "progress", "env_steps": 5, "time": {"seconds": 0.0}},
        {
            "event": "evaluation",
            "env_steps": 60,
            "learner_steps": 30,
            "mean_return": 9.0,
        },
        {
            "event": "progress",
            "env_steps": 100,
            "learner_steps": 50,
            "samples_per_insert": 3.5,
            "staleness_mean": 7.25,
            "num_dropped_episodes": 2,
            "time": {"seconds": 2.0},
        },
        {"event": "end", "env_steps": 80, "learner_steps": 40, "mean_return": 8.0},
    ]
    nodes = by_label(
        status(
            "actor/0",
            worked_seconds=1.0,
            waited_seconds={"a": 1.0, "b": 2.0},
            num_restarts=2,
        ),
        status(
            "actor/1", worked_seconds=3.0, waited_seconds={"a": 1.0}, num_restarts=1
        ),
        status("learner", worked_seconds=9.0, waited_seconds={"a": 1.0}),
        status(
            "evaluator", worked_seconds=0.0, waited_seconds={"a": 1.0}, host="host 1"
        ),
    )
    assert summarize(lines, nodes) == {
        "env_steps": 100,
        "learner_steps": 50,
        "final_return": 8.0,
        "final_learner_steps": 40,
        "best_return": 9.0,
        "best_learner_steps": 30,
        "best_env_steps": 60,
        "env_steps_per_second": 50.0,
        "learner_steps_per_second": 25.0,
        "learner_idle_fraction": 0.1,
        "actor_blocked_fraction": 0.5,
        "samples_per_insert": 3.5,
        "staleness_mean": 7.25,
        "num_dropped_episodes": 2,
        "num_restarts": 3,
        "hosts": {"evaluator": "host 1"},
    }


def test_a_summary_of_a_run_that_did_not_end_has_no_final_return():
    told = summarize([{"event": "evaluation", "mean_return": 9.0}], {})
    assert (told["final_return"], told["best_return"]) == (None, 9.0)


def test_a_summary_of_nothing():
    told = summarize([], {})
    assert (told["env_steps"], told["env_steps_per_second"]) == (0, 0.0)
    assert (told["best_return"], told["best_learner_steps"]) == (None, None)


# --- The curve --------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 475.0])
@pytest.mark.parametrize("num_evaluations", [1, 5])
def test_a_curve_is_drawn(tmp_path, target, num_evaluations):
    lines = [{"event": "progress", "env_steps": 1}]
    for number in range(num_evaluations):
        lines.append(
            {
                "event": "end" if number == num_evaluations - 1 else "evaluation",
                "env_steps": 1_000 * number,
                "mean_return": 20.0 * number,
                "std_return": 3.0,
                "num_episodes": 20,
            }
        )
    path = tmp_path / "curve.png"
    plot_curve(lines, path, title="dqn", subtitle="seed 0", target=target)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
    figure = draw_curve(lines, title="dqn", subtitle="seed 0", target=target)
    means, *others = (list(line.get_ydata()) for line in figure.axes[0].lines)
    assert means == [20.0 * number for number in range(num_evaluations)]
    assert others == ([] if target is None else [[target, target]])
    assert figure.axes[0].get_legend() is None


def test_a_curve_has_the_returns_of_training_as_a_second_line(tmp_path):
    lines = [
        {"event": "progress", "env_steps": 500},
        {"event": "progress", "env_steps": 1_000, "training_return": 9.0},
        {
            "event": "evaluation",
            "env_steps": 1_000,
            "mean_return": 20.0,
            "std_return": 3.0,
            "num_episodes": 20,
        },
        {"event": "progress", "env_steps": 2_000, "training_return": 11.0},
    ]
    plot_curve(lines, tmp_path / "curve.png", title="", subtitle="", target=None)
    (axes,) = draw_curve(lines, title="", subtitle="", target=None).axes
    drawn = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
    }
    assert drawn == {
        "evaluation": ([1_000], [20.0]),
        "training": ([1_000, 2_000], [9.0, 11.0]),
    }
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["evaluation", "training"]
    assert axes.get_xlim()[1] > 2_000  # The last steps had no evaluation yet.


def test_a_curve_that_cannot_be_written_leaves_nothing(tmp_path):
    path = tmp_path / "curve.png"
    path.mkdir()
    line = {"env_steps": 1, "mean_return": 2, "std_return": 3, "num_episodes": 4}
    with pytest.raises(IsADirectoryError):
        plot_curve([{"event": "end", **line}], path, title="", subtitle="", target=None)
    assert list(tmp_path.iterdir()) == [path]


# --- The metrics ------------------------------------------------------------------


def metric_records(num_records, *names):
    """Records of which the first, as of a learner before its first batch, has none."""
    records = [{"event": "progress", "env_steps": 1, "metrics": {}}]
    for number in range(1, num_records):
        metrics = {name: 1.0 / number for name in names}
        step = 1_000 * number
        records += [
            {"event": "progress", "env_steps": step, "metrics": metrics},
            {"event": "evaluation", "env_steps": step, "mean_return": 1.0},
        ]
    return records


def test_each_metric_has_its_steps_and_values():
    records = metric_records(4, "loss", "entropy")
    records[3]["metrics"] = {"loss": math.nan, "late": 5.0, "never": math.inf}
    series = {
        name: [list(x) for x in xy] for name, xy in metric_series(records).items()
    }
    (steps, (first, gap, last)) = series.pop("loss")
    assert steps == [1_000, 2_000, 3_000]
    assert (first, math.isnan(gap), last) == (1.0, True, 1 / 3)
    assert series == {
        "entropy": [[1_000, 3_000], [1.0, 1 / 3]],
        "late": [[2_000], [5.0]],
    }


def test_a_running_mean_is_of_the_finite_values_around():
    values = np.array([1.0, 3.0, math.nan, math.inf, math.nan, 8.0])
    means = [2.0, 2.0, 3.0, math.nan, 8.0, 8.0]
    np.testing.assert_allclose(running_mean(values, 1), means)
    np.testing.assert_allclose(running_mean(values, 9), [4.0] * 6)


def test_one_huge_value_does_not_blur_the_mean_of_later_ones():
    values = np.array([1e17, *[0.01] * 9])
    np.testing.assert_allclose(running_mean(values, 1)[2:], 0.01)


def png_size(path):
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


def test_each_metric_has_a_plot(tmp_path):
    path, sizes = tmp_path / "metrics.png", []
    # A few values are drawn as they are, many are smoothed.
    for num_records, num_metrics in ((3, 1), (3, 2), (300, 5)):
        names = [f"metric {number}" for number in range(num_metrics)]
        records = metric_records(num_records, *names)
        records[-2]["metrics"] = {name: math.nan for name in names[1:]}
        plot_metrics(records, path, title="ppo", subtitle="seed 0")
        sizes.append(png_size(path))
    one, two, five = sizes
    assert one[0] < two[0] < five[0] and one[1] == two[1] < five[1]
    assert list(tmp_path.iterdir()) == [path]


def test_of_very_many_metrics_the_first_have_a_plot(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "MAX_PLOTS", 5)
    sizes = []
    for num_metrics in (5, 50):
        records = metric_records(3, *[f"metric {k}" for k in range(num_metrics)])
        plot_metrics(records, tmp_path / "metrics.png", title="", subtitle="seed 0")
        sizes.append(png_size(tmp_path / "metrics.png"))
    assert sizes[0] == sizes[1]


def test_without_metrics_there_is_no_plot(tmp_path):
    for records in ([], metric_records(1), metric_records(3)):
        plot_metrics(records, tmp_path / "metrics.png", title="", subtitle="")
    assert list(tmp_path.iterdir()) == []


# --- The log ----------------------------------------------------------------------


def test_everything_is_in_the_file_and_warnings_are_told(tmp_path, capsys):
    logger = logging.getLogger("acmelike")
    with logging_to(tmp_path / "run.log"):
        logger.info("of interest")
        logger.warning("of concern")
        logger.error("of the end")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "WARNING: of concern\n")
    text = (tmp_path / "run.log").read_text()
    for words in ("INFO of interest", "WARNING of concern", "ERROR of the end"):
        assert words in text


def test_an_error_that_leaves_the_block_is_in_the_file(tmp_path):
    with pytest.raises(ZeroDivisionError), logging_to(tmp_path / "run.log"):
        print(1 / 0)
    text = (tmp_path / "run.log").read_text()
    assert "division by zero" in text and "Traceback" in text


def test_a_node_that_failed_is_not_logged_again(tmp_path):
    with pytest.raises(NodeFailed), logging_to(tmp_path / "run.log"):
        raise NodeFailed("actor", "step", ValueError())
    assert (tmp_path / "run.log").read_text() == ""


def test_what_the_terminal_cannot_show_ends_nothing(tmp_path, monkeypatch):
    stderr = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stderr", stderr)
    with logging_to(tmp_path / "run.log"):
        logging.getLogger("acmelike").warning("no file \udcff")
        logging.getLogger("acmelike").warning("no file")
    stderr.seek(0)
    assert stderr.read() == "WARNING: no file\n"


def test_a_full_disk_does_not_fill_the_terminal(capsys):
    with logging_to("/dev/full"):
        logging.getLogger("acmelike").info("of interest")
    assert capsys.readouterr().err == ""
