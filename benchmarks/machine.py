"""Where a benchmark was made, for everybody who compares its figures with their own."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.trial import run_trial


def describe_machine(
    packages: Sequence[str],
    peers: Mapping[str, tuple[str, Sequence[str]]] | None = None,
) -> dict[str, Any]:
    """Processor, system, load, and the versions of whatever takes part.

    Args:
      packages: those of this interpreter that matter.
      peers: by name, the interpreter of each and those of its packages that matter.
    """
    interpreters = {"acmelike": versions(packages=packages)}
    for name, (python, theirs) in (peers or {}).items():
        interpreters[name] = run_trial(
            "benchmarks.machine:versions", {"packages": list(theirs)}, python=python
        )
    return {
        "cpu": cpu_model(),
        "cores": num_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        # Of others: the benchmark has not begun.
        "load": os.getloadavg()[0],
        "interpreters": interpreters,
    }


def versions(*, packages: Sequence[str]) -> dict[str, str]:
    """The versions of the interpreter and of the packages that it has; also a trial."""
    found = {"python": platform.python_version()}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def resident_bytes() -> int:
    """The memory that this process holds; for peers, which have no acmelike to ask."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def num_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, as well as the system knows it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unknown processor"
