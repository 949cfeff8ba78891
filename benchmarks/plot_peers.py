"""The rates of agents beside those of their peers, as one picture for the README.

python -m benchmarks.plot_peers dqn.json agents.json peers.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plot import DOT, GREY, PEER, save
from benchmarks.report import Report, number, read_report

LAUNCHERS = ("serial", "threads", "processes")
PEERS = {"SBX": "Stable-Baselines Jax", "RLlib": "RLlib"}
# What a panel shows, and the table of a report that has it.
PANELS = {
    "DQN, environment steps/s": "Environment steps in the steady state",
    "PPO, environment steps/s": "PPO, environment steps in the steady state",
    "IMPALA, environment steps/s": "IMPALA, environment steps in the steady state",
    "SAC, updates/s": "SAC, updates in the steady state",
}


def rates_of(table: dict[str, Any]) -> dict[str, float]:
    """The best median of each library, over its launchers or settings."""
    rates: dict[str, float] = {}
    for row in table["rows"]:
        kind = row["name"].partition(",")[0]
        library = "acmelike" if kind in LAUNCHERS else PEERS.get(kind)
        if library is not None:
            rates[library] = max(rates.get(library, 0.0), row["median"])
    return dict(sorted(rates.items(), key=lambda item: item[0] != "acmelike"))


def plot_peers(reports: Sequence[Report], path: Path) -> None:
    """Draws a panel for each agent that the reports have, into a PNG."""
    # Without pyplot: it would look for a display and keep a global state.
    from matplotlib.figure import Figure

    tables = {t["title"]: t for report in reports for t in report.tables}
    names = {title: name for title, name in PANELS.items() if name in tables}
    found = {title: rates_of(tables[name]) for title, name in names.items()}
    heights = [len(rates) + 0.9 for rates in found.values()]
    figure = Figure(figsize=(8, 0.32 * sum(heights)), layout="constrained", dpi=150)
    panels = figure.subplots(
        len(found), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for panel, (title, rates) in zip(panels[:, 0], found.items(), strict=True):
        _draw(panel, title, rates)
    save(figure, path)


def _draw(panel: Any, title: str, rates: dict[str, float]) -> None:
    """One agent; the rate stands at the end of its bar."""
    for place, (library, rate) in enumerate(rates.items()):
        is_own = library == "acmelike"
        panel.barh(place, rate, color=DOT if is_own else PEER, height=0.7)
        panel.annotate(
            number(rate),
            (rate, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            fontweight="bold" if is_own else "normal",
        )
    panel.set_title(title, loc="left", fontsize=10)
    panel.set_yticks(range(len(rates)), list(rates), fontsize=10)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.12 * max(rates.values()))
    panel.set_xticks([])
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.spines["left"].set_color(GREY)


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reports", type=Path, nargs="+", help="JSON of benchmarks")
    parser.add_argument("picture", type=Path, help="the PNG to draw")
    options = parser.parse_args(args)
    plot_peers([read_report(path) for path in options.reports], options.picture)


if __name__ == "__main__":
    main()
