"""A report as a picture: a panel for every table, medians as bars, samples as dots.

Bars of peers are grey.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from benchmarks.report import Report, number

BAR, PEER, DOT, GREY = "#9dc3e6", "0.8", "#1f4e79", "0.45"
# What the rows of other libraries begin with.
PEERS = ("SBX", "Stable-B", "RLlib", "Reverb", "gRPC", "pyzmq", "Ray", "Monarch")


def plot_report(report: Report, path: Path) -> None:
    """Draws the tables of a report into a PNG."""
    # Without pyplot: it would look for a display and keep a global state.
    from matplotlib.figure import Figure

    heights = [len(table["rows"]) + 1.5 for table in report.tables]
    figure = Figure(figsize=(8, 0.32 * sum(heights) + 1), layout="constrained", dpi=150)
    panels = figure.subplots(
        len(heights), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for panel, table in zip(panels[:, 0], report.tables, strict=True):
        _draw(panel, table)
    figure.suptitle(report.title, x=0.01, ha="left", fontweight="bold")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Writes a figure as a PNG of 32 colours, which takes a third of the room."""
    from PIL import Image

    content = io.BytesIO()
    figure.savefig(content, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(content) as picture:
        picture.convert("RGB").quantize(32).save(path, "PNG", optimize=True)


def _draw(panel: Any, table: dict[str, Any]) -> None:
    """One table; the median stands at the end of its bar."""
    rows = table["rows"]
    for place, row in enumerate(rows):
        samples = [sample for sample in row["samples"] if sample is not None]
        color = PEER if row["name"].startswith(PEERS) else BAR
        panel.barh(place, row["median"] or 0, color=color, height=0.6)
        panel.scatter(samples, [place] * len(samples), s=9, color=DOT, zorder=3)
        label, num_never = number(row["median"]), len(row["samples"]) - len(samples)
        if 0 < num_never < len(row["samples"]):
            label += f" ({num_never} of {len(row['samples'])} never)"
        panel.annotate(
            label,
            (max([row["median"] or 0, *samples]), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=DOT,
        )
    panel.set_title(f"{table['title']} ({table['unit']})", loc="left", fontsize=9)
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.2)
    panel.set_xlim(left=0)
    panel.tick_params(axis="x", labelsize=7, colors=GREY)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    panel.grid(axis="x", color="0.92")
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
