"""The learning curves of a report as a picture: a panel for every task.

python -m benchmarks.plot_curves learning.json learning.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plot import DOT, GREY, save

NUM_COLUMNS = 3


def plot_curves(report: dict[str, Any], path: Path) -> None:
    """Draws what `benchmarks.learning` wrote into a PNG."""
    # Without pyplot: it would look for a display and keep a global state.
    from matplotlib.figure import Figure

    tasks = report["details"]
    num_rows = -(-len(tasks) // NUM_COLUMNS)
    figure = Figure(figsize=(9, 2.1 * num_rows + 0.5), layout="constrained", dpi=130)
    panels = figure.subplots(num_rows, NUM_COLUMNS, squeeze=False).flatten()
    for panel, (title, curves) in zip(panels, tasks.items(), strict=False):
        _draw(panel, title, curves)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    figure.supxlabel("environment steps", fontsize=8, color=GREY)
    figure.supylabel("mean return of an evaluation", fontsize=8, color=GREY)
    save(figure, path)


def _draw(panel: Any, title: str, curves: list[dict[str, Any]]) -> None:
    """One task: a line for each seed, which ends in a dot where the run did."""
    name, _, goal = title.partition(", ")
    target, _, budget = goal.partition(" within ")
    for curve in curves:
        steps, means = curve["env_steps"], curve["mean_returns"]
        panel.plot(steps, means, color=DOT, alpha=0.6, linewidth=0.9)
        panel.scatter(steps[-1:], means[-1:], s=10, color=DOT, zorder=3, clip_on=False)
    panel.axhline(float(target), color=GREY, linewidth=0.8, linestyle="--")
    panel.set_title(name, loc="left", fontsize=9)
    panel.set_xlim(0, int(budget.replace(",", "")))
    panel.tick_params(labelsize=7, colors=GREY)
    panel.xaxis.set_major_locator(_locator())
    panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,g} k")
    panel.grid(color="0.92")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="the JSON of benchmarks.learning")
    parser.add_argument("picture", type=Path, help="the PNG to draw")
    options = parser.parse_args(args)
    plot_curves(json.loads(options.report.read_text()), options.picture)


if __name__ == "__main__":
    main()
