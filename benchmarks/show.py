"""Shows the report of a benchmark that was made before.

python -m benchmarks.show FILE.json --markdown --plot OUT.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plot import plot_report
from benchmarks.report import exit_status, markdown, read_report


def main(args: Sequence[str] | None = None) -> int:
    """Shows a report that was made before."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.show", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, help="the JSON of a benchmark")
    parser.add_argument("--markdown", action="store_true", help="print its tables")
    parser.add_argument("--plot", type=Path, help="the PNG to draw")
    options = parser.parse_args(args)
    report = read_report(options.file)
    if options.markdown:
        print(markdown(report))
    if options.plot:
        plot_report(report, options.plot)
    return exit_status(report)


if __name__ == "__main__":
    sys.exit(main())
