"""What a call over an edge costs in one process, against the bare method.

Run: python -m benchmarks.edges --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acmelike import Node, Program, future, launch, when

REPEATS = 7
CALLS = 20_000


class Echo:
    """A service that answers at once, with and without a guard."""

    def plain(self, value: Any) -> Any:
        return value

    def _open(self, value: Any) -> str | None:
        return None

    @when(_open)
    def guarded(self, value: Any) -> Any:
        return value


def microseconds(call: Callable[[Any], Any], value: Any) -> float:
    """The mean time of a call."""
    started = time.perf_counter()
    for _ in range(CALLS):
        call(value)
    return (time.perf_counter() - started) / CALLS * 1e6


def measure() -> dict[str, list[float]]:
    """Microseconds a call, by kind of call, interleaved over the repeats."""
    program = Program("edges")
    handle = program.add_node(Node(Echo), label="echo")
    bare, array = Echo(), np.zeros(256, np.float32)
    with launch(program, "threads") as run:
        client = run.client(handle)
        kinds: dict[str, tuple[Callable[[Any], Any], Any]] = {
            "bare method": (bare.plain, 1),
            "call": (client.plain, 1),
            "guarded call": (client.guarded, 1),
            "call with an array": (client.plain, array),
            "future": (lambda value: future(client.plain)(value).result(), 1),
        }
        samples: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(REPEATS):
            for kind, (call, value) in kinds.items():
                samples[kind].append(microseconds(call, value))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON to write")
    out: Path = parser.parse_args().out
    samples = measure()
    medians = {kind: statistics.median(times) for kind, times in samples.items()}
    for kind, median in medians.items():
        ratio = median / medians["bare method"]
        print(f"{kind:20} {median:7.2f} us   {ratio:5.1f} x the bare method")
    report = {
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
        "unit": "us",
        "samples": samples,
        "medians": medians,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(out.name + ".tmp")
    aside.write_text(json.dumps(report, indent=2) + "\n")
    aside.replace(out)


if __name__ == "__main__":
    main()
