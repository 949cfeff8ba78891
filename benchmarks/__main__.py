"""All benchmarks, one after the other.

python -m benchmarks [--out FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = (
    *("rpc", "rpc_traffic", "environments", "inference", "startup"),
    *(
        "replay",
        "dqn",
        "agents",
        "standard",
        "topologies",
        "learning",
        "restarts",
        "scaling",
        "ray_cost",
        "launchers",
        "loggers",
    ),
)


def main(args: Sequence[str] | None = None) -> int:
    """Runs each in its own process; returns the worst of their exit statuses."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs all benchmarks: " + ", ".join(BENCHMARKS),
        epilog="It exits with 1 if a bar of one of them does not hold.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench"), help="folder of the JSON files"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short repeat of each: shows that they work",
    )
    options = parser.parse_args(args)
    worst = 0
    for name in BENCHMARKS:
        out = str(options.out / f"{name}.json")
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", out]
        ended = subprocess.run([*command, *["--quick"] * options.quick])
        worst = max(worst, ended.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
