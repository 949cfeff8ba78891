"""One trial in a process of its own, so that nothing is left over from the one before.

    python -m benchmarks.trial MODULE:FUNCTION '{"seed": 0}'

calls the function with these arguments and prints what it returns as a line of JSON.
This file needs the standard library only, as a peer's interpreter runs it too.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# The interpreters that have the peers; the targets of Makefile that make them.
PEERS, REVERB = ".venv-bench/bin/python", ".venv-reverb/bin/python"
RLLIB, RPC = ".venv-rllib/bin/python", ".venv-rpc/bin/python"
RAY, SB3 = ".venv-ray/bin/python", ".venv-sb3/bin/python"
TARGETS = {
    PEERS: "bench-env",
    REVERB: "reverb-env",
    RLLIB: "rllib-env",
    RPC: "rpc-env",
    RAY: "ray-env",
    SB3: "sb3-env",
}
# Long enough for any trial; a longer one hangs.
TIMEOUT_SECONDS = 1200.0
# Where results are kept while a benchmark runs, of which the last trial may fail after
# an hour.
_kept: Path | None = None


class TrialFailed(Exception):
    """A trial ended without a result."""


def keep_results(path: Path) -> None:
    """Has what trials return written to a file from now on, each as a line of JSON."""
    global _kept
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    _kept = path


def keep(trial: str, arguments: Mapping[str, Any], result: Any) -> None:
    """Writes what a trial returned, if results are kept."""
    if _kept is not None:
        line = {"trial": trial, "arguments": dict(arguments), "result": result}
        with _kept.open("a") as file:
            file.write(json.dumps(line) + "\n")


def run_trial(
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    python: str = sys.executable,
    variables: Mapping[str, str] | None = None,
) -> Any:
    """Calls a function in a new process and returns what it returned.

    Args:
      function: "module:function"; it takes and returns what JSON can hold.
      arguments: of the function, by name.
      python: the interpreter, relative to the root of the checkout or absolute.
      variables: of the process's environment, beside those of this one.

    Raises:
      TrialFailed: it raised, was killed or took too long; with the end of what it said.
    """
    command = [str(ROOT / python), "-m", "benchmarks.trial", function]
    try:
        ended = subprocess.run(
            [*command, json.dumps(arguments or {})],
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        hint = f"; `make {TARGETS[python]}` makes it" if python in TARGETS else ""
        raise TrialFailed(f"{function}: there is no {python}{hint}") from None
    except subprocess.TimeoutExpired:
        raise TrialFailed(f"{function}: no end after {TIMEOUT_SECONDS:g} s") from None
    if ended.returncode != 0:
        said = "\n".join(ended.stderr.strip().splitlines()[-15:])
        raise TrialFailed(f"{function} ended with {ended.returncode}:\n{said}")
    result = json.loads(ended.stdout.splitlines()[-1])
    keep(function, arguments or {}, result)
    return result


def main() -> None:
    """The new process."""
    module, name = sys.argv[1].split(":")
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(function(**json.loads(sys.argv[2]))), flush=True)


if __name__ == "__main__":
    main()
