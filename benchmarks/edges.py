"""What a call over an edge costs, in one process and between two.

python -m benchmarks.edges --out FILE.json
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from acmelike import Node, Program, launch, start, when
from acmelike.launchers import LAUNCHERS
from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import run_trial

LOCAL = [name for name in ("threads", "processes") if name in LAUNCHERS]


class Echo:
    """A service that answers at once, with and without a guard."""

    def plain(self, value: Any) -> Any:
        return value

    def _open(self, value: Any) -> str | None:
        return None

    @when(_open)
    def guarded(self, value: Any) -> Any:
        return value


def calls(*, launcher: str, num_calls: int) -> dict[str, float]:
    """Microseconds a call, by kind of call; a trial."""
    program = Program("edges")
    handle = program.add_node(Node(Echo), label="echo")
    bare, array = Echo(), np.zeros(256, np.float32)
    with launch(program, launcher) as run:
        client = run.client(handle)
        kinds: dict[str, tuple[Callable[[Any], Any], Any]] = {
            "bare method": (bare.plain, 1),
            "call": (client.plain, 1),
            "guarded call": (client.guarded, 1),
            "call with an array": (client.plain, array),
            "future": (lambda value: start(client.plain, value).result(), 1),
        }
        return {
            kind: microseconds(call, value, num_calls)
            for kind, (call, value) in kinds.items()
        }


def microseconds(call: Callable[[Any], Any], value: Any, num_calls: int) -> float:
    """The mean time of a call, once it has been made a few times."""
    for _ in range(num_calls // 10):
        call(value)
    started = time.perf_counter()
    for _ in range(num_calls):
        call(value)
    return (time.perf_counter() - started) / num_calls * 1e6


def measure(quick: bool, command: str) -> Report:
    """Every launcher in turn; nothing is demanded, so there are no bars."""
    arguments = {"num_calls": 500 if quick else 10_000}
    report = Report(
        benchmark="edges",
        title="Calls over edges",
        command=command,
        machine=describe_machine(("numpy",)),
        notes=[
            "One caller, one call at a time; an array is of 256 float32. "
            "The bare method is called on the object itself."
        ],
    )
    results = interleave(
        {
            launcher: partial(
                run_trial, "benchmarks.edges:calls", {**arguments, "launcher": launcher}
            )
            for launcher in LOCAL
        },
        repeats=1 if quick else 7,
    )
    for launcher, trials in results.items():
        report.add_table(
            f"A call under {launcher}",
            "us",
            {kind: [trial[kind] for trial in trials] for kind in trials[0]},
        )
    return report


if __name__ == "__main__":
    run_benchmark("edges", __doc__ or "", measure)
