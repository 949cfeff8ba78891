"""PPO and DQN under `ray` against `processes`, on one machine.

python -m benchmarks.ray_cost --out FILE.json
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, alternate, median, say
from benchmarks.trial import RAY, run_trial

PROGRAMS = ("ppo", "dqn")
LAUNCHERS = ("processes", "ray")
# Environment steps past all compilations.
FIRST_STEP = {"ppo": 20_000, "dqn": 4_000}
COST_BAR = 0.95


def _rate(arguments: Mapping[str, Any], seed: int) -> float:
    trial = "benchmarks.agents_acmelike:rates"
    found = run_trial(trial, {**arguments, "seed": seed}, python=RAY)
    return found["env_steps"]


def measure(quick: bool, command: str) -> Report:
    """Both launchers in turns, for each program."""
    repeats, seconds = (1, 1.0) if quick else (7, 10.0)
    packages = ("ray", "jax", "numpy", "gymnasium")
    report = Report(
        benchmark="ray_cost",
        title="What Ray costs on one machine",
        command=command,
        machine=describe_machine(("jax", "numpy"), {"Ray": (RAY, packages)}),
        notes=[
            "PPO and DQN on CartPole-v1 with their programs' settings, without "
            "evaluations, in the steady state. `ray` is a Ray of the run's own. Both "
            "launchers have the same interpreter, and take turns.",
        ],
    )
    for program in PROGRAMS:
        say(program)
        arguments = {
            "program": program,
            "first_step": FIRST_STEP[program],
            "seconds": seconds,
        }
        trials = alternate(
            {
                launcher: partial(_rate, {**arguments, "launcher": launcher})
                for launcher in LAUNCHERS
            },
            repeats,
        )
        report.add_table(f"{program}, environment steps", "steps/s", trials)
        ratios = [
            ray / processes
            for ray, processes in zip(trials["ray"], trials["processes"], strict=True)
        ]
        report.add_table(f"{program}, ray over processes", "x", {"steps/s": ratios})
        name = f"{program}, env steps/s of ray over processes"
        report.add_bar(name, median(ratios), ">=", COST_BAR)
    return report


if __name__ == "__main__":
    run_benchmark("ray_cost", __doc__ or "", measure)
