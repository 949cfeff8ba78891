"""Atari and MuJoCo beside Stable-Baselines3: frames per second, and what is learned.

python -m benchmarks.standard --out FILE.json
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.agents_trials import curves_of
from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, say
from benchmarks.trial import SB3, run_trial

PACKAGES = (
    *("jax", "flax", "optax", "torch", "stable-baselines3", "numpy"),
    *("gymnasium", "ale-py", "mujoco"),
)
OURS, THEIRS = "benchmarks.agents_acmelike", "benchmarks.peers.sb3_agents"
LAUNCHERS = ("threads", "processes")
FRAMES = 4  # Of the game in one environment step.
PONG = {"environment": "ALE/Pong-v5", "num_frames": FRAMES}
FLAGS: dict[str, dict[str, Any]] = {
    "dqn": {
        **PONG,
        "program": "dqn",
        "num_actors": 1,
        "num_envs_per_actor": 4,
        "learner_cpus": 2,
        "agent": {
            "hidden_sizes": (512,),
            "double": False,
            "dueling": False,
            "prioritized": False,
            "batch_size": 32,
            "num_updates_per_call": 4,
            "replay": {"size": 20_000, "samples_per_insert": 8.0},
        },
    },
    "impala": {
        **PONG,
        "program": "impala",
        "num_actors": 1,
        "num_envs_per_actor": 8,
        "learner_cpus": 2,
        "agent": {"hidden_sizes": (512,)},
    },
    "sac": {
        "program": "sac",
        "environment": "HalfCheetah-v5",
        "agent": {"optimizer": {"learning_rate": 3e-4}},
    },
}
# Of Stable-Baselines3, which has no IMPALA: what it has for the same task.
PEERS = {"dqn": "dqn", "impala": "a2c"}
# The least part of their mean return that is the same level.
SAME_LEVEL = 0.9


def measure(quick: bool, command: str) -> Report:
    """Frames per second of Pong, then the returns of HalfCheetah."""
    seeds, env_steps = (1, 2_000) if quick else (3, 50_000)
    report = Report(
        benchmark="standard",
        title="Atari and MuJoCo beside Stable-Baselines3",
        command=command,
        machine=describe_machine((), {"both": (SB3, PACKAGES)}),
        notes=[
            "Pong: actions stick with probability 0.25, four frames for an action, the "
            "maximum of the last two, 84 by 84 grey pixels, the last four together. "
            "Three convolutions and a dense layer of 512 units (Mnih et al. 2015), the "
            "same for both. DQN: four environments, one update of 32 transitions for "
            "four environment steps, 20,000 transitions in replay. IMPALA and A2C: "
            "eight environments, unrolls of 20 steps, eight in an update.",
            "acmelike's rate is that of its best launcher; with threads its XLA has "
            "one thread, with processes its learner two. PyTorch has all cores.",
            f"HalfCheetah-v5: SAC, two layers of 256 units, batches of 256, one update "
            f"for each environment step, learning rate 3e-4, for {env_steps:,} steps; "
            "judged by the mean return of 20 fresh greedy episodes.",
        ],
    )
    for agent in PEERS:
        report.details[agent] = _pong(report, agent, quick)
    window = {"env_steps": env_steps, "every": env_steps // 5}
    curves = curves_of(
        {
            "acmelike": partial(
                _learn,
                f"{OURS}:learning",
                {**FLAGS["sac"], **window, "launcher": "processes"},
            ),
            "Stable-Baselines3": partial(_learn, f"{THEIRS}:learning", window),
        },
        seeds=seeds,
    )
    report.details["sac"] = curves
    _cheetah(report, curves)
    return report


def _learn(function: str, arguments: Mapping[str, Any], seed: int) -> Any:
    return run_trial(function, {**arguments, "seed": seed}, python=SB3)


def _pong(report: Report, agent: str, quick: bool) -> Any:
    first, last = (1_400, 2_000) if quick else (2_000, 6_000)
    window = {"first_step": first, "last_step": last, "seed": 0}
    trials = {
        launcher: partial(
            run_trial,
            f"{OURS}:throughput",
            {**FLAGS[agent], **window, "launcher": launcher, "seconds_alone": 1.0},
            python=SB3,
        )
        for launcher in LAUNCHERS
    }
    peer = f"Stable-Baselines3's {PEERS[agent].upper()}"
    trials[peer] = partial(
        run_trial,
        f"{THEIRS}:throughput",
        {**window, "agent": PEERS[agent]},
        python=SB3,
    )
    results = interleave(trials, 1 if quick else 3)
    frames = {
        name: [FRAMES * result["env_steps_per_second"] for result in of_one]
        for name, of_one in results.items()
    }
    medians = report.add_table(f"Pong, {agent.upper()}: frames", "frames/s", frames)
    best = max(LAUNCHERS, key=lambda launcher: medians[launcher] or 0.0)
    ratios = [a / b for a, b in zip(frames[best], frames[peer], strict=True)]
    name = f"Pong, {agent.upper()}: frames/s over {peer}"
    report.add_bar(name, statistics.median(ratios), ">", 1.0)
    return results


def _cheetah(report: Report, curves: Mapping[str, Sequence[Any]]) -> None:
    returns = {
        name: [curve["mean_returns"][-1] for curve in of_one]
        for name, of_one in curves.items()
    }
    report.add_table("HalfCheetah-v5, SAC: return at the end", "return", returns)
    seconds = {
        name: [curve["seconds"][-1] for curve in of_one]
        for name, of_one in curves.items()
    }
    report.add_table("HalfCheetah-v5, SAC: time of the run", "s", seconds)
    ours, theirs = (statistics.mean(samples) for samples in returns.values())
    say(f"HalfCheetah-v5: {ours:.0f} and {theirs:.0f}")
    name = "HalfCheetah-v5, SAC: mean return, against Stable-Baselines3's"
    # Returns may be negative, and a ratio would then say the opposite.
    limit = SAME_LEVEL * theirs if theirs > 0 else theirs / SAME_LEVEL
    report.add_bar(name, ours, ">=", limit)


if __name__ == "__main__":
    run_benchmark("standard", __doc__ or "", measure)
