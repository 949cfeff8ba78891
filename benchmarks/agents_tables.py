"""What follows from trials of throughput: rates, efficiencies, and who waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.agents_trials import LAUNCHERS
from benchmarks.report import Report, median

MAX_DATA_WAIT = 0.05  # Of a learner's time, where actors have capacity to spare.
# Under serial, nodes take turns, so waiting says nothing.
FREE = tuple(launcher for launcher in LAUNCHERS if launcher != "serial")

Results = Mapping[str, Sequence[Mapping[str, Any]]]
Nodes = Mapping[str, Mapping[str, float]]


def report_rates(report: Report, agent: str, results: Results, what: str) -> str:
    """Tables of both rates; returns the launcher with the best median of `what`."""
    for key, title, unit in (
        ("env_steps_per_second", "environment steps in the steady state", "steps/s"),
        ("updates_per_second", "updates in the steady state", "updates/s"),
    ):
        rows = {name: _column(results, name, key) for name in results}
        for launcher in LAUNCHERS:
            alone = "actors" if key.startswith("env") else "learner"
            column = _column(results, launcher, f"{key}_of_{alone}_alone")
            rows[f"{alone} alone, {launcher}"] = column
        rows = {name: samples for name, samples in rows.items() if samples}
        report.add_table(f"{agent}, {title}", unit, rows)
    return max(LAUNCHERS, key=lambda name: median(_column(results, name, what)) or 0)


def fastest(results: Results, peer: str, what: str = "env_steps_per_second") -> str:
    """The variant of a peer with the best median."""
    variants = [name for name in results if name.startswith(peer)]
    return max(variants, key=lambda name: median(_column(results, name, what)) or 0)


def over(
    report: Report,
    agent: str,
    results: Results,
    best: str,
    peer: str,
    what: str = "env_steps_per_second",
) -> float | None:
    """The median ratio of the best launcher over the faster variant of a peer."""
    theirs = fastest(results, peer, what)
    unit = what.replace("_per_second", "/s").replace("_", " ")
    ratios = {
        launcher: _ratios(
            _column(results, launcher, what), _column(results, theirs, what)
        )
        for launcher in LAUNCHERS
    }
    title = f"{agent}, {unit} over {theirs}, pair by pair"
    return report.add_table(title, "x", ratios)[best]


def report_efficiency(
    report: Report, agent: str, results: Results, *, lock_step: bool = False
) -> dict[str, float | None]:
    """Full over actors alone and over the learner alone; returns the latter's medians.

    In lock-step also over both in turns, of which these two are the parts: for each
    step, one is the time of acting over that of all, the other that of learning.
    """
    acting, learning = (
        {
            launcher: _ratios(
                _column(results, launcher, f"{key}_per_second"),
                _column(results, launcher, f"{key}_per_second_of_{alone}_alone"),
            )
            for launcher in LAUNCHERS
        }
        for key, alone in (("env_steps", "actors"), ("updates", "learner"))
    )
    report.add_table(f"{agent}, full over actors alone", "x", acting)
    medians = report.add_table(f"{agent}, full over learner alone", "x", learning)
    if lock_step:
        in_turns = {
            launcher: [
                a + b for a, b in zip(acting[launcher], learning[launcher], strict=True)
            ]
            for launcher in LAUNCHERS
        }
        report.add_table(f"{agent}, full over acting, then learning", "x", in_turns)
    return medians


def report_waits(
    report: Report, agent: str, results: Results, *, lock_step: bool = False
) -> None:
    """Who waits: a learner may not wait for data while actors have time to spare."""
    nodes = {
        launcher: [result["nodes"] for result in results[launcher]] for launcher in FREE
    }
    learner = report.add_table(
        f"{agent}, share of time that the learner waited for data",
        "of 1",
        {
            launcher: [
                _mean_share(one, "learner", "waits for replay") for one in of_one
            ]
            for launcher, of_one in nodes.items()
        },
    )
    actors = report.add_table(
        f"{agent}, share of time that actors waited, for the learner or for replay",
        "of 1",
        {
            launcher: [_mean_share(one, "actor/", "waits for ") for one in of_one]
            for launcher, of_one in nodes.items()
        },
    )
    if lock_step:
        report.add_table(
            f"{agent}, share of time in which neither actors nor learner worked",
            "of 1",
            {
                launcher: [_idle_share(one) for one in of_one]
                for launcher, of_one in nodes.items()
            },
        )
        return
    have_none = [name for name in FREE if (actors[name] or 0) <= MAX_DATA_WAIT]
    for launcher in FREE:
        if launcher not in have_none:
            report.add_bar(
                f"{agent}, {launcher}: the learner's wait, as actors wait too",
                learner[launcher],
                "<",
                MAX_DATA_WAIT,
            )
    if have_none:
        report.notes.append(
            f"{agent} under {' and '.join(have_none)}: actors wait at most "
            f"{MAX_DATA_WAIT:.0%} of the time, for any reason. They have no capacity "
            "to spare, and the bar on the learner's wait does not apply."
        )


def _mean_share(nodes: Nodes, label: str, what: str) -> float:
    """The share of a window that nodes of this label spent on this, a mean."""
    shares = [
        sum(share for name, share in node.items() if name.startswith(what))
        for name, node in nodes.items()
        if name.startswith(label)
    ]
    return sum(shares) / len(shares)


def _idle_share(nodes: Nodes) -> float:
    """What is left of a window when some act, and then the learner works."""
    working = _mean_share(nodes, "actor/", "works")
    working += _mean_share(nodes, "learner", "works")
    return max(1 - working, 0.0)  # Threads that share a core both seem to work.


def _column(results: Results, name: str, key: str) -> list[float]:
    return [result[key] for result in results[name] if key in result]


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]
