"""The learning curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot_curve(
    lines: Sequence[dict[str, Any]], path: Path, *, title: str, target: float | None
) -> None:
    """Draws mean returns of evaluations against environment steps.

    Args:
      lines: of `metrics.jsonl`.
      path: of the PNG.
      title: above the plot.
      target: a line to reach, or None.
    """
    # Without pyplot: it would look for a display and keep a global state.
    from matplotlib.figure import Figure

    evaluations = [line for line in lines if line["event"] in ("evaluation", "end")]
    steps = [line["env_steps"] for line in evaluations]
    means = [line["mean_return"] for line in evaluations]
    spreads = [line["std_return"] for line in evaluations]
    figure = Figure(figsize=(7, 4), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    if target is not None:
        axes.axhline(target, color="0.6", linestyle="--", linewidth=1)
        axes.annotate(
            f"target {target:g}",
            (0, target),
            xycoords=("axes fraction", "data"),
            xytext=(6, 4),
            textcoords="offset points",
            color="0.4",
        )
    lower = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
    upper = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
    axes.fill_between(steps, lower, upper, alpha=0.2, linewidth=0)
    axes.plot(steps, means, marker="o", markersize=3)
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("mean return of an evaluation, ± its deviation")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    aside = path.with_name(path.stem + ".tmp.png")
    figure.savefig(aside)
    aside.replace(path)
