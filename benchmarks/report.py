"""What every benchmark leaves: one JSON with its raw samples, medians and bars.

    python -m benchmarks.show FILE.json --markdown --plot OUT.png

makes a table and a picture of it, and exits with 1 if one of its bars does not hold.
"""

from __future__ import annotations

import json
import math
import operator
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<": operator.lt,
    "<=": operator.le,
}


def interleave(
    measurements: Mapping[str, Callable[[], T]], repeats: int
) -> dict[str, list[T]]:
    """Makes the measurements in turn, A B A B ..., so that all meet the same machine.

    Returns:
      What each returned, by name, a list with one entry for each repeat; entries of
      one repeat are a pair.
    """
    results: dict[str, list[T]] = {name: [] for name in measurements}
    for repeat in range(repeats):
        for name, measure in measurements.items():
            started = time.perf_counter()
            results[name].append(measure())
            say(f"{repeat + 1}/{repeats} {name}, {time.perf_counter() - started:.1f} s")
    return results


def alternate(
    measurements: Mapping[str, Callable[[int], T]], repeats: int
) -> dict[str, list[T]]:
    """As `interleave`, but the first of one repeat is the last of the next: A B, B A.

    Each measurement is given the number of the repeat, which may be its seed.
    """
    results: dict[str, list[T]] = {name: [] for name in measurements}
    for repeat in range(repeats):
        names = list(measurements)[:: -1 if repeat % 2 else 1]
        turn = {name: partial(measurements[name], repeat) for name in names}
        for name, made in interleave(turn, 1).items():
            results[name] += made
    return results


def median(samples: Sequence[float | None]) -> float | None:
    """The median, in which None, a thing that never happened, is later than all."""
    middle = statistics.median(math.inf if x is None else x for x in samples)
    return None if math.isinf(middle) else middle


def say(line: str) -> None:
    """Tells how far a benchmark is, beside what it prints."""
    print(line, file=sys.stderr, flush=True)


@dataclass(kw_only=True)
class Report:
    """The outcome of one benchmark.

    Attributes:
      benchmark: its name, that of its module.
      title: what it measures.
      command: what was typed to make it.
      machine: where it was made; see `benchmarks.machine`.
      notes: how it was measured, a sentence each.
      tables: of figures; each has a title, a unit and rows, and each row a name, raw
        samples and their median.
      bars: the figures that were demanded; each has a name, a value, the bar and
        whether it holds.
      details: raw results beyond the tables.
    """

    benchmark: str
    title: str
    command: str
    machine: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add_table(
        self, title: str, unit: str, rows: Mapping[str, Sequence[float | None]]
    ) -> dict[str, float | None]:
        """Adds figures, the raw samples of each by its name; returns their medians.

        A sample is None where what it counts never happened.
        """
        medians = {name: median(samples) for name, samples in rows.items()}
        entries = [
            {"name": name, "median": medians[name], "samples": list(samples)}
            for name, samples in rows.items()
        ]
        self.tables.append({"title": title, "unit": unit, "rows": entries})
        return medians

    def add_bar(
        self, name: str, value: float | None, relation: str, limit: float | None
    ) -> None:
        """Adds a demand on a figure, such as a value `>=` a limit; None is never."""
        sides = (math.inf if side is None else side for side in (value, limit))
        # What never happened is no success, whatever the demand.
        holds = value is not None and RELATIONS[relation](*sides)
        bar = f"{relation} {number(limit)}"
        self.bars.append({"name": name, "value": value, "bar": bar, "holds": holds})

    def write(self, path: Path) -> None:
        """Writes the JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".tmp")
        aside.write_text(json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")
        aside.replace(path)

    def finish(self, path: Path) -> int:
        """Writes the JSON, prints tables and bars, and returns the exit status."""
        self.write(path)
        print(markdown(self))
        return exit_status(self)


def read_report(path: Path) -> Report:
    """Reads the JSON of a benchmark."""
    return Report(**json.loads(path.read_text()))


def exit_status(report: Report) -> int:
    """1 if a bar does not hold, else 0."""
    return 0 if all(bar["holds"] for bar in report.bars) else 1


def number(value: float | None) -> str:
    """A figure as people read it: three digits that count, or all of a large one."""
    if value is None:
        return "never"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(report: Report) -> str:
    """The report as text for the docs."""
    lines = [f"### {report.title}", "", f"`{report.command}`", ""]
    lines += [f"{_describe(report.machine)}", ""]
    lines += [f"- {note}" for note in report.notes] + [""] * bool(report.notes)
    if report.bars:
        lines += ["| bar | value | demanded | holds |", "|---|---|---|---|"]
        for bar in report.bars:
            holds = "yes" if bar["holds"] else "**no**"
            value = number(bar["value"])
            lines.append(f"| {bar['name']} | {value} | {bar['bar']} | {holds} |")
        lines.append("")
    for table in report.tables:
        lines += [f"| {table['title']} | median, {table['unit']} | samples |"]
        lines += ["|---|---|---|"]
        for row in table["rows"]:
            samples = ", ".join(number(sample) for sample in row["samples"])
            lines.append(f"| {row['name']} | {number(row['median'])} | {samples} |")
        lines.append("")
    return "\n".join(lines)


def _describe(machine: Mapping[str, Any]) -> str:
    """The machine in a few sentences."""
    parts = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"load {machine['load']:.1f} at the start."
    ]
    for name, versions in machine["interpreters"].items():
        packages = ", ".join(f"{package} {v}" for package, v in versions.items())
        parts.append(f"{name}: {packages}.")
    return " ".join(parts)
