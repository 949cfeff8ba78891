"""The learning curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLOR, GREY = "#1f6fb4", "0.45"


def plot_curve(
    lines: Sequence[dict[str, Any]],
    path: Path,
    *,
    title: str,
    subtitle: str,
    target: float | None,
) -> None:
    """Draws mean returns of evaluations against environment steps.

    Args:
      lines: of `metrics.jsonl`, with one evaluation at least.
      path: of the PNG.
      title: above the plot.
      subtitle: below the title, smaller.
      target: a return to reach, drawn as a line, or None.
    """
    # Without pyplot: it would look for a display and keep a global state.
    from matplotlib.figure import Figure

    evaluations = [line for line in lines if line["event"] in ("evaluation", "end")]
    steps = [line["env_steps"] for line in evaluations]
    means = [line["mean_return"] for line in evaluations]
    lower = [line["mean_return"] - line["std_return"] for line in evaluations]
    upper = [line["mean_return"] + line["std_return"] for line in evaluations]
    num_episodes = evaluations[-1]["num_episodes"]

    figure = Figure(figsize=(7, 4), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.fill_between(steps, lower, upper, color=COLOR, alpha=0.15, linewidth=0)
    axes.plot(steps, means, color=COLOR, marker="o", markersize=3.5)
    axes.annotate(
        f"{means[-1]:.1f}",
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
    axes.set_xlim(0, steps[-1] * 1.01 or 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    aside = path.with_name(path.stem + ".tmp.png")
    try:
        figure.savefig(aside)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
