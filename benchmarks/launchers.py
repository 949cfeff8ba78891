"""Whether programs learn on Ray, on a Ray cluster and on several hosts.

python -m benchmarks.launchers --out FILE.json
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.hosts import SECRET, Hosts, RayCluster
from benchmarks.learning import PACKAGES, TASKS, read_curve
from benchmarks.machine import describe_machine
from benchmarks.report import Report, say
from benchmarks.trial import RAY, run_trial

PROGRAMS = ("dqn", "ppo", "impala")
# Those on CartPole-v1, with the programs' own settings.
TASK = {task.program: task for task in TASKS if not task.flags}
NUM_HOSTS = 3
# Of each host of the cluster: too few for five nodes of a core each on two of them.
NUM_CPUS = 2
OWN, CLUSTER = "a Ray of its own", f"a Ray cluster of {NUM_HOSTS} hosts"
HOSTS = f"{NUM_HOSTS} hosts"
PYTHONS = {OWN: RAY, CLUSTER: RAY, HOSTS: sys.executable}


def solve(*, program: str, place: str, max_env_steps: int) -> dict[str, Any]:
    """Trains a program until it is at its target or has used its budget; a trial.

    Returns:
      Its `learning.Curve`, and where each node ran, as "hosts".
    """
    import acmelike as al

    task = TASK[program]
    with tempfile.TemporaryDirectory() as scratch, _settings(place) as settings:
        run = al.train(
            program,
            max_env_steps=max_env_steps,
            stop_at_return=task.target,
            out=str(Path(scratch) / "run"),
            live=False,
            **settings,
        )
        curve = read_curve(run.folder, task)
    return {**curve._asdict(), "hosts": run.summary["hosts"]}


@contextmanager
def _settings(place: str) -> Iterator[dict[str, Any]]:
    """The flags of the launcher, as long as there is what it needs."""
    if place == OWN:
        yield {"launch": "ray"}
    elif place == CLUSTER:
        with RayCluster(NUM_HOSTS, NUM_CPUS) as cluster:
            address = cluster.config.address
            yield {"launch": "ray", "ray_address": address, "ray_send": False}
    else:
        with Hosts(NUM_HOSTS) as hosts:
            rendezvous = hosts.config.rendezvous
            first = {"hosts": NUM_HOSTS, "rank": 0, "rendezvous": rendezvous}
            yield {"launch": "hosts", **first}


def measure(quick: bool, command: str) -> Report:
    """Every program at every place, one after the other."""
    report = Report(
        benchmark="launchers",
        title="Programs solved under each launcher",
        command=command,
        machine=describe_machine(PACKAGES, {"Ray": (RAY, ("ray", *PACKAGES))}),
        notes=[
            "`al.train` with the programs' own settings and seed 0, on CartPole-v1. An "
            "evaluation is the mean return of 20 greedy episodes; the target is "
            "reached by two in a row. With these launchers a seed does not repeat a "
            "run.",
            f"The hosts are all this machine. Each of the cluster declares {NUM_CPUS} "
            "cores, and each node but the coordinator takes one: replay, learner, "
            "evaluator and two actors need all three.",
            "Hosts with nodes: of the nodes but the coordinator, which is at the "
            "launcher's host and not at one of the cluster. Where each node ran is as "
            "the summary of the run says it.",
            "Seconds are those of the whole run with its start.",
        ],
    )
    for program in PROGRAMS:
        for place, python in PYTHONS.items():
            budget = TASK[program].max_env_steps // (10 if quick else 1)
            arguments = {"program": program, "place": place, "max_env_steps": budget}
            found = report.details[f"{program}, {place}"] = run_trial(
                "benchmarks.launchers:solve",
                arguments,
                python=python,
                variables={"ACMELIKE_SECRET": SECRET},
            )
            say(f"{program}, {place}: {found['reached']}")
            _judge(report, program, place, found, is_expected=not quick)
    for title, unit, value in (
        ("Environment steps to the target", "steps", lambda f: f["reached"]),
        ("Return at the end", "return", lambda f: f["mean_returns"][-1]),
        ("Time of the run", "s", lambda f: f["seconds"]),
    ):
        rows = {name: [value(found)] for name, found in report.details.items()}
        report.add_table(title, unit, rows)
    return report


def _judge(
    report: Report,
    program: str,
    place: str,
    found: dict[str, Any],
    *,
    is_expected: bool,
) -> None:
    """The bars of one run, and a note of where its nodes ran."""
    name, task = f"{program}, {place}", TASK[program]
    if is_expected:
        bar = f"{name}, steps to {task.target:g}"
        report.add_bar(bar, found["reached"], "<=", task.max_env_steps)
    hosts = found["hosts"]
    if place != OWN:
        others = {host for label, host in hosts.items() if label != "coordinator"}
        report.add_bar(f"{name}, hosts with nodes", len(others), ">=", NUM_HOSTS)
    where = ", ".join(f"{label} at {host}" for label, host in hosts.items())
    report.notes.append(f"{name}: {where}.")


if __name__ == "__main__":
    run_benchmark("launchers", __doc__ or "", measure)
