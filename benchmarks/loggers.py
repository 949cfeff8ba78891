"""What loggers and a step timeout cost: programs with them and without.

python -m benchmarks.loggers --out FILE.json
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.ray_cost import FIRST_STEP, PROGRAMS
from benchmarks.report import Report, alternate, say
from benchmarks.trial import run_trial

PLAIN, LOGGED, LIMITED = "without", "with loggers", "with a step timeout"
STEP_TIMEOUT = 30.0
# The flags of each side; those that are compared follow each other.
SIDES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    LOGGED: {"log": ["csv", "tensorboard", "wandb"]},
    LIMITED: {"step_timeout": STEP_TIMEOUT},
}
# Weights & Biases writes its files, and neither says nor sends anything.
VARIABLES = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}
COST_BAR = 0.98
# What uses processors on the launcher's side.
LAUNCHER, FORWARDER, WANDB = "launcher", "record forwarder", "wandb"

Trials = Mapping[str, Sequence[Mapping[str, float]]]


def rate(**arguments: Any) -> dict[str, float]:
    """Environment steps and processor seconds, per second; a trial.

    Args:
      arguments: of `agents_acmelike.rates`.

    Raises:
      RuntimeError: a logger failed, after which it costs nothing.
    """
    from benchmarks.agents_acmelike import rates

    said = BufferingHandler(1_000)
    logging.getLogger("acmelike").addHandler(said)
    found = rates(**arguments, count=_processor_seconds)
    for words in (record.getMessage() for record in said.buffer):
        if "is not written any more" in words:
            raise RuntimeError(words)
    return found


def _processor_seconds() -> dict[str, float]:
    """Those of this process, of its thread that forwards records, and of wandb's."""
    found = {LAUNCHER: time.process_time(), WANDB: _seconds_of_wandb()}
    for thread in threading.enumerate():
        if thread.name == FORWARDER and thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            found[FORWARDER] = time.clock_gettime(clock)
    return found


def _seconds_of_wandb() -> float:
    """Processor seconds of the processes that Weights & Biases starts (Linux)."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It has just ended.
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0]
            if b"/wandb/bin/" in program:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(quick: bool, command: str) -> Report:
    """All sides in turns, for each program."""
    repeats, seconds = (1, 2.0) if quick else (9, 10.0)
    packages = ("jax", "numpy", "gymnasium", "tensorboardX", "wandb")
    report = Report(
        benchmark="loggers",
        title="What loggers and a step timeout cost",
        command=command,
        machine=describe_machine(packages),
        notes=[
            "PPO and DQN on CartPole-v1 with their programs' settings under "
            f"`processes`, without evaluations, for {seconds:g} s in the steady state. "
            "The sides take turns, and the first of one turn is the last of the next. "
            "Ratios are pair by pair, of the same turn.",
            "With loggers: what `--log csv tensorboard wandb` makes, Weights & Biases "
            "offline. There are ten records a second at most; a thread of the "
            "launcher's process passes them on once a second.",
            f"With a step timeout: `--step-timeout {STEP_TIMEOUT:g}`, for which each "
            "environment has a thread of its own. Nothing is demanded of it.",
            "Cores: processor seconds over those of the clock. Those of the launcher's "
            "process have those of its threads in them, also Weights & Biases' own; "
            "the processes that Weights & Biases starts come on top of that.",
        ],
    )
    for program in PROGRAMS:
        say(program)
        arguments = {
            "program": program,
            "launcher": "processes",
            "first_step": FIRST_STEP[program],
            "seconds": seconds,
        }
        trials = alternate(
            {
                side: partial(_trial, {**arguments, **flags})
                for side, flags in SIDES.items()
            },
            repeats,
        )
        _judge(report, program, trials)
        report.details[program] = trials
    return report


def _trial(arguments: Mapping[str, Any], seed: int) -> dict[str, float]:
    return run_trial(
        "benchmarks.loggers:rate", {**arguments, "seed": seed}, variables=VARIABLES
    )


def _judge(report: Report, program: str, trials: Trials) -> None:
    """The rates of each side, the bar on loggers, and what these use."""
    steps = {side: [each["env_steps"] for each in trials[side]] for side in SIDES}
    report.add_table(f"{program}, environment steps", "steps/s", steps)
    ratios = {
        side: [a / b for a, b in zip(steps[side], steps[PLAIN], strict=True)]
        for side in (LOGGED, LIMITED)
    }
    medians = report.add_table(f"{program}, steps/s over those without", "x", ratios)
    name = f"{program}, env steps/s with loggers over without"
    report.add_bar(name, medians[LOGGED], ">=", COST_BAR)
    sources = {
        "the launcher's process, without": (PLAIN, LAUNCHER),
        "the launcher's process, with loggers": (LOGGED, LAUNCHER),
        "its thread that passes records on": (LOGGED, FORWARDER),
        "the processes of Weights & Biases": (LOGGED, WANDB),
    }
    rows = {
        row: [each[what] for each in trials[side]]
        for row, (side, what) in sources.items()
    }
    report.add_table(f"{program}, processor time", "cores", rows)


if __name__ == "__main__":
    run_benchmark("loggers", __doc__ or "", measure)
