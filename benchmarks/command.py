"""The command line that all benchmarks have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from benchmarks.report import Report
from benchmarks.trial import TrialFailed, keep_results

# (quick, the command that was typed) -> the report.
Measure = Callable[[bool, str], Report]


def run_timed_benchmark(
    name: str,
    description: str,
    measure: Callable[[float, bool, str], Report],
    seconds: float,
    args: Sequence[str],
) -> NoReturn:
    """`run_benchmark`, with `--seconds` for how long it measures.

    Args:
      name: of its module.
      description: for `--help`.
      measure: makes the report; the seconds come first.
      seconds: without the flag.
      args: the command line.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=seconds)
    options, rest = parser.parse_known_args(args)
    run_benchmark(name, description, partial(measure, options.seconds), rest)


def run_benchmark(
    name: str, description: str, measure: Measure, args: Sequence[str] | None = None
) -> NoReturn:
    """The `__main__` of a benchmark.

    It exits with 0 if all bars hold, 1 if one does not or a trial failed, and 2 for a
    mistake on the command line. While it runs, what its trials returned is in a file
    beside the JSON; the file is removed when the JSON is there.

    Args:
      name: of its module.
      description: for `--help`.
      measure: makes the report.
      args: the command line; the process's own if None.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description.split("\n")[0],
        epilog="It exits with 1 if one of its bars does not hold.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSON to write")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short repeat: shows that it works, its figures mean little",
    )
    options = parser.parse_args(args)
    # Not the path as it was typed, which says nothing to anybody else.
    command = f"python -m benchmarks.{name} --out {options.out.name}"
    if options.quick:
        command += " --quick"
    kept = options.out.with_name(options.out.name + ".trials")
    keep_results(kept)
    try:
        status = measure(options.quick, command).finish(options.out)
        kept.unlink()
    except TrialFailed as error:
        print(f"error: {error}", file=sys.stderr)
        print(f"what earlier trials returned is in {kept}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
