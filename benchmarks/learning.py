"""Whether every agent learns what it should: its program, five seeds of each.

python -m benchmarks.learning --out FILE.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.command import run_benchmark
from benchmarks.curves import IN_A_ROW, reached
from benchmarks.machine import describe_machine
from benchmarks.report import Report, say
from benchmarks.trial import TrialFailed, keep

SEEDS, ENOUGH = 5, 4
PACKAGES = ("jax", "flax", "optax", "rlax", "numpy", "gymnasium", "MinAtar")


class Task(NamedTuple):
    """What a program has to reach.

    Attributes:
      program: its name.
      target: a mean return, in two evaluations in a row.
      max_env_steps: within so many environment steps.
      flags: of its command line, beside these.
      is_reached: whether it should be; else it must not be, by any evaluation.
    """

    program: str
    target: float
    max_env_steps: int
    flags: tuple[str, ...] = ()
    is_reached: bool = True

    @property
    def title(self) -> str:
        """For a table."""
        place = f" on {self.flags[1]}" if "--environment" in self.flags else ""
        return f"{self.program}{place}"


# The network of the paper, and enough entropy that it goes on looking for the bricks
# behind those in front: with a tenth of it, runs stayed at a return of 6.
PIXELS = (
    *("--environment", "MinAtar/Breakout-v1", "--evaluate-every", "100000"),
    *("--num-actors", "1", "--num-envs-per-actor", "32", "--agent.batch-size", "32"),
    *("--agent.hidden-sizes", "128", "--agent.entropy-weight", "0.1"),
    *("--agent.optimizer.learning-rate", "3e-3"),
    # Its values are far below those that the program scales down.
    *("--agent.optimizer.decay-updates", "4800", "--agent.reward-scale", "1"),
    *("--agent.optimizer.max-gradient-norm", "1"),
)

# Observations that are categories, and that are bytes.
FROZEN_LAKE = (
    *("--environment", "FrozenLake-v1", "--evaluate-every", "5000"),
    *("--num-eval-episodes", "100", "--agent.replay.samples-per-insert", "8"),
)
BYTES = ("--environment", "benchmarks.worlds:GridWorld", "--evaluate-every", "2000")
BYTES_PPO = (
    *(*BYTES, "--agent.num-minibatches", "8", "--agent.entropy-weight", "0.01"),
    *("--agent.gae-lambda", "0.95", "--agent.optimizer.learning-rate", "2e-3"),
)
# Observations that are a dict, and actions that are not always allowed.
PARTS = ("--environment", "benchmarks.worlds:CartPoleOfParts")
TAXI = (
    *("--environment", "benchmarks.worlds:masked_taxi", "--evaluate-every", "10000"),
    *("--num-eval-episodes", "100", "--agent.n-step", "3", "--agent.discount", "0.97"),
    # A passenger is rarely met by chance, so more environments explore more.
    *("--agent.epsilon", "0.9", "--agent.epsilon-alpha", "2"),
)
# Actions that are continuous, for agents that are usually seen with discrete ones.
PENDULUM_PPO = (
    *("--environment", "Pendulum-v1", "--evaluate-every", "5000"),
    *("--num-actors", "2", "--num-envs-per-actor", "4", "--agent.discount", "0.9"),
    *("--agent.unroll-length", "128", "--agent.num-minibatches", "16"),
    *("--agent.gae-lambda", "0.95", "--agent.normalize-rewards"),
    *("--agent.optimizer.learning-rate", "1e-3"),
    *("--agent.optimizer.decay-updates", "30000"),
)
PENDULUM_IMPALA = (
    *("--environment", "Pendulum-v1", "--evaluate-every", "10000"),
    *("--num-actors", "2", "--num-envs-per-actor", "8", "--agent.discount", "0.9"),
    *("--agent.unroll-length", "32", "--agent.batch-size", "4"),
    *("--agent.entropy-weight", "0", "--agent.optimizer.learning-rate", "6e-4"),
    *("--agent.optimizer.max-gradient-norm", "1"),
)

TASKS = (
    Task("ppo", 475, 100_000),
    Task("impala", 450, 400_000),
    Task("seed_impala", 450, 400_000),
    Task("apex_dqn", 475, 100_000),
    Task("dqn", 475, 100_000),
    Task("r2d2", 400, 300_000),
    Task("sac", -200, 20_000),
    Task("td3", -200, 20_000),
    Task("dqn", 0.7, 60_000, FROZEN_LAKE),
    Task("dqn", 0.9, 40_000, BYTES),
    Task("ppo", 0.9, 40_000, BYTES_PPO),
    Task("dqn", 475, 100_000, PARTS),
    Task("ppo", 475, 100_000, PARTS),
    Task("dqn", 7, 120_000, TAXI),
    Task("ppo", -300, 200_000, PENDULUM_PPO),
    Task("impala", -300, 400_000, PENDULUM_IMPALA),
    # The DQN of Young and Tian 2019, arXiv 1903.03176, is at about 10 after 5 million
    # frames, as others read it from their curves. Actions stick as theirs do, but there
    # are the three that count, not six; and theirs is the return while it explores.
    Task("impala", 12, 3_000_000, PIXELS),
    Task("dqn", 200, 300_000, ("--environment", "CartPole-v1-positions"), False),
)


class Curve(NamedTuple):
    """How one run went.

    Attributes:
      env_steps: of its evaluations.
      mean_returns: of these, the last of them the one that judged it.
      seconds: that it took, with its start.
      reached: the environment steps at which it was at the target, or None.
    """

    env_steps: list[int]
    mean_returns: list[float]
    seconds: float
    reached: float | None


def train(task: Task, seed: int) -> Curve:
    """Runs the program under `serial`, so that the same seed gives the same figures."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", f"programs.{task.program}", *task.flags]
        command += ["--launch", "serial", "--seed", str(seed), "--out", str(out)]
        command += ["--max-env-steps", str(task.max_env_steps)]
        command += ["--stop-at-return", str(task.target)]
        ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        if ended.returncode:
            said = "\n".join(ended.stderr.strip().splitlines()[-15:])
            words = f"{task.title}, seed {seed}, ended with {ended.returncode}"
            raise TrialFailed(f"{words}:\n{said}")
        return read_curve(out, task)


def read_curve(folder: Path, task: Task) -> Curve:
    """How a run of a task went, from its folder."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    seconds = json.loads((folder / "summary.json").read_text())["wall_seconds"]
    records = [json.loads(line) for line in lines]
    judged = [line for line in records if line["event"] in ("evaluation", "end")]
    steps = [line["env_steps"] for line in judged]
    means = [line["mean_return"] for line in judged]
    # The last is made when the run has ended.
    in_a_row = IN_A_ROW if task.is_reached else 1
    where = reached(steps[:-1], means[:-1], task.target, in_a_row)
    return Curve(steps, means, seconds, where)


def measure(quick: bool, command: str) -> Report:
    """All tasks, one after the other."""
    seeds = 1 if quick else SEEDS
    report = Report(
        benchmark="learning",
        title="Learning",
        command=command,
        machine=describe_machine(PACKAGES, {}),
        notes=[
            "`python -m programs.NAME --launch serial --seed S --stop-at-return TARGET "
            f"--max-env-steps BUDGET`, seeds 0 to {seeds - 1}, and the flags that are "
            "named. An evaluation is the mean return of 20 greedy episodes, of SAC "
            "and TD3 50, every 1,000 environment steps, if the flags do not say "
            "otherwise; the target is reached by two in a row.",
            *(
                f"{task.title}: `{' '.join(task.flags)}`."
                for task in TASKS
                if len(task.flags) > 2
            ),
            "Seconds are those of the whole run with its start, at whatever else the "
            "machine did.",
        ],
    )
    curves: dict[str, list[Curve]] = {}
    for task in TASKS:
        key = f"{task.title}, {task.target:g} within {task.max_env_steps:,}"
        curves[key] = []
        for seed in range(seeds):
            curves[key].append(train(task, seed))
            keep(key, {"seed": seed}, curves[key][-1]._asdict())
            say(f"{key}, seed {seed}: {curves[key][-1].reached}")
        num_reached = sum(curve.reached is not None for curve in curves[key])
        if task.is_reached:
            wanted = min(ENOUGH, seeds)
            report.add_bar(f"{key} steps, seeds", num_reached, ">=", wanted)
        else:
            report.add_bar(f"{key} steps, seeds (none should)", num_reached, "<=", 0)
    for title, unit, value in (
        ("Environment steps to the target, by seed", "steps", lambda c: c.reached),
        (
            "Mean return of the last judgement, by seed",
            "return",
            lambda c: c.mean_returns[-1],
        ),
        ("Seconds of the run, by seed", "s", lambda c: c.seconds),
    ):
        rows = {
            key: [value(curve) for curve in of_one] for key, of_one in curves.items()
        }
        report.add_table(title, unit, rows)
    details: dict[str, Any] = {
        key: [curve._asdict() for curve in of_one] for key, of_one in curves.items()
    }
    report.details = details
    return report


if __name__ == "__main__":
    run_benchmark("learning", __doc__ or "", measure)
