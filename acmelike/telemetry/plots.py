"""The pictures that a run leaves: its returns, and the metrics of its learner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acmelike.telemetry.figures import return_text

# matplotlib takes long to import, so it is imported when a picture is drawn. `pyplot`
# is avoided: it looks for a display and keeps global state.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOR, TRAINING_COLOR, GREY = "#1f6fb4", "#d98032", "0.45"

# A metric of one batch is noisy. Above this number of records the mean over a
# fiftieth of them is drawn over the values themselves.
MAX_UNSMOOTHED = 100
NUM_WINDOWS = 50
# More in one picture cannot be read, and it would take minutes to draw.
MAX_PLOTS = 60

# The share of the values, around their median, that a picture has room for.
SHOWN_SHARE = 0.98


def plot_curve(
    records: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str,
    subtitle: str,
    target: float | None,
) -> None:
    """Draws the returns of evaluations, and of training, over environment steps.

    Args:
      records: as for `draw_curve`.
      path: of the PNG.
      title: above the plot.
      subtitle: below the title, smaller.
      target: a return, drawn as a line; None for no line.

    Raises:
      OSError: the file cannot be written.
    """
    _save(draw_curve(records, title=title, subtitle=subtitle, target=target), path)


def draw_curve(
    records: Sequence[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str,
    target: float | None,
) -> Figure:
    """A figure of the mean return of each evaluation over environment steps.

    If counters have returns of training, a second, thin line shows them, and a legend
    names both lines.

    Args:
      records: of `metrics.jsonl`, with at least one evaluation; counters may be left
        out.
      title: above the plot.
      subtitle: below the title, smaller.
      target: a return, drawn as a line; None for no line.
    """
    from matplotlib.figure import Figure

    evaluations = [line for line in records if line["event"] in ("evaluation", "end")]
    steps = [line["env_steps"] for line in evaluations]
    means = [line["mean_return"] for line in evaluations]
    lower = [line["mean_return"] - line["std_return"] for line in evaluations]
    upper = [line["mean_return"] + line["std_return"] for line in evaluations]
    num_episodes = evaluations[-1]["num_episodes"]
    training = [line for line in records if "training_return" in line]
    training_steps = [line["env_steps"] for line in training]

    figure = Figure(figsize=(7, 4), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.fill_between(steps, lower, upper, color=COLOR, alpha=0.15, linewidth=0)
    axes.plot(steps, means, color=COLOR, marker="o", markersize=3.5, label="evaluation")
    if training:
        axes.plot(
            training_steps,
            [line["training_return"] for line in training],
            color=TRAINING_COLOR,
            linewidth=0.9,
            label="training",
        )
        axes.legend(loc="best", frameon=False, fontsize=9)
    axes.annotate(
        return_text(means[-1]),
        (steps[-1], means[-1]),
        xytext=(7, 0),
        textcoords="offset points",
        color=COLOR,
        fontweight="bold",
        va="center",
        annotation_clip=False,
    )
    if target is not None:
        axes.axhline(target, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            f"target {target:g}",
            (0, target),
            xycoords=("axes fraction", "data"),
            xytext=(6, -4),
            textcoords="offset points",
            color=GREY,
            va="top",
        )
    axes.set_title(title, loc="left", fontweight="bold", pad=22)
    axes.text(0, 1.03, subtitle, transform=axes.transAxes, color=GREY, fontsize=9)
    axes.set_xlabel("environment steps")
    axes.set_ylabel(f"return, mean ± deviation of {num_episodes} episodes")
    _style(axes, max([steps[-1], *training_steps]))
    return figure


def plot_metrics(
    records: Sequence[Mapping[str, Any]], path: Path, *, title: str, subtitle: str
) -> None:
    """Draws the learner's metrics over environment steps, each in a plot of its own.

    Without any metric no file is written. Values that are not finite leave gaps. If
    there are very many metrics, only the first are drawn, and the subtitle says so.

    Args:
      records: of `metrics.jsonl`.
      path: of the PNG.
      title: above the plots.
      subtitle: below the title, smaller.

    Raises:
      OSError: the file cannot be written.
    """
    series = metric_series(records)
    if not series:
        return
    if len(series) > MAX_PLOTS:
        subtitle = f"{subtitle}; {MAX_PLOTS} of {len(series)} metrics"
        series = dict(list(series.items())[:MAX_PLOTS])
    from matplotlib.figure import Figure

    num_columns = min(len(series), 3 if len(series) > 4 else 2)
    num_rows = math.ceil(len(series) / num_columns)
    # Titles need the same height above one row of plots as above five.
    height = 2.4 * num_rows + 1.0
    figure = Figure(figsize=(3.6 * num_columns + 0.6, height), dpi=150)
    figure.set_layout_engine("constrained", rect=(0, 0, 0.99, 1 - 0.62 / height))
    top = 1 - 0.12 / height
    figure.text(0.02, top, title, fontweight="bold", fontsize=12, va="top")
    figure.text(0.02, top - 0.24 / height, subtitle, color=GREY, fontsize=9, va="top")
    last_step = max(steps[-1] for steps, _ in series.values())
    plots = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for index, (name, (steps, values)) in enumerate(series.items()):
        axes = plots[index]
        _plot_metric(axes, steps, values)
        axes.set_title(name, loc="left", fontsize=10)
        _style(axes, last_step)
        axes.locator_params(axis="x", nbins=4)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.5g}")
        if index + num_columns < len(series):
            axes.tick_params(labelbottom=False)
        else:  # The lowest plot of its column.
            axes.set_xlabel("environment steps")
    for axes in plots[len(series) :]:
        axes.remove()
    _save(figure, path)


def metric_series(
    records: Sequence[Mapping[str, Any]],
) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """(environment steps `[T]`, values `[T]`) of each metric that is ever finite."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record["event"] == "progress":
            for name, value in record.get("metrics", {}).items():
                points.setdefault(name, []).append((record["env_steps"], value))
    arrays = {name: np.array(found, float).T for name, found in points.items()}
    return {
        name: (steps, values)
        for name, (steps, values) in arrays.items()
        if np.isfinite(values).any()
    }


def running_mean(values: np.ndarray[Any, Any], reach: int) -> np.ndarray[Any, Any]:
    """The mean of the values around each of `[T]` values.

    Args:
      values: `[T]`; those that are not finite do not count.
      reach: the number of neighbours on each side.

    Returns:
      `[T]`; NaN where no value around is finite.
    """
    is_finite = np.isfinite(values)
    window = np.ones(2 * reach + 1)
    around = slice(reach, reach + len(values))
    # Not as differences of one running sum: a huge value would spoil all after it.
    sums = np.convolve(np.where(is_finite, values, 0.0), window)[around]
    num = np.rint(np.convolve(is_finite.astype(float), window)[around])
    return np.where(num > 0, sums / np.maximum(num, 1), np.nan)


def _plot_metric(
    axes: Axes, steps: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> None:
    values = np.where(np.isfinite(values), values, np.nan)
    if len(values) <= MAX_UNSMOOTHED:
        axes.plot(steps, values, color=COLOR, linewidth=1.2, marker=".", markersize=3)
        return
    axes.plot(steps, values, color=COLOR, alpha=0.25, linewidth=0.6)
    reach = max(1, len(values) // NUM_WINDOWS // 2)
    axes.plot(steps, running_mean(values, reach), color=COLOR, linewidth=1.4)
    # A few outliers, such as the first losses, would flatten everything else.
    edge = 100 * (1 - SHOWN_SHARE) / 2
    low, high = np.nanpercentile(values, [edge, 100 - edge])
    if low < high:
        margin = 0.15 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _style(axes: Axes, last_step: float) -> None:
    axes.set_xlim(0, last_step * 1.01 or 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    """Writes the picture beside the file and renames it, so that it is always whole."""
    aside = path.with_name(path.stem + ".tmp.png")
    try:
        figure.savefig(aside)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
