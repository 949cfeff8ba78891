"""DQN on CartPole-v1 against Stable-Baselines Jax (SBX): throughput and learning.

python -m benchmarks.dqn --out FILE.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from acmelike.launchers import LAUNCHERS
from acmelike.programs.dqn import PROGRAM
from benchmarks.command import run_benchmark
from benchmarks.curves import IN_A_ROW, reached
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import PEERS, run_trial

TARGET = 475.0
# By the first rule all seeds of both reach it; the bars are on the second.
RULES = {
    f"a 20-episode mean of {TARGET:g}": 1,
    f"a 20-episode mean of {TARGET:g} twice in a row": IN_A_ROW,
}
LOCAL = [name for name in ("serial", "threads", "processes") if name in LAUNCHERS]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "gymnasium")
OURS, SBX = "benchmarks.dqn_acmelike", "benchmarks.peers.sbx_dqn"

ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "NPROC": "1"}
# Which is faster depends on the machine; the bars compare with the faster.
SBX_AT_ZOO = ("SBX", "SBX, one XLA thread")
SBX_8 = "SBX, 8 environments"

Samples = Mapping[str, Sequence[float | None]]


class Size(NamedTuple):
    """How much is measured.

    Attributes:
      repeats: of every trial of throughput.
      first_step: environment steps at which the window of throughput begins.
      last_step: and at which it ends.
      seconds_alone: for actors, and then for the learner, alone.
      seeds: of the learning curves.
      env_steps: of each learning curve.
      every: environment steps between two judgements of a policy.
    """

    repeats: int
    first_step: int
    last_step: int
    seconds_alone: float
    seeds: int
    env_steps: int
    every: int


FULL = Size(3, 5_000, 25_000, 5.0, 5, 50_000, 1_000)
QUICK = Size(1, 3_000, 6_000, 1.0, 1, 6_000, 1_000)


def measure(quick: bool, command: str) -> Report:
    """All trials, and what follows from them."""
    size = QUICK if quick else FULL
    machine = describe_machine(
        PACKAGES,
        {"SBX": (PEERS, ("sbx-rl", "stable-baselines3", "torch", *PACKAGES))},
    )
    report = Report(
        benchmark="dqn",
        title="DQN on CartPole-v1",
        command=command,
        machine=machine,
        notes=_notes(size),
    )
    throughput = interleave(_throughput_trials(size), size.repeats)
    _report_throughput(report, throughput)
    learning = _learning(size)
    _report_learning(report, learning, size)
    report.details = {"throughput": throughput, "learning": learning}
    return report


def _notes(size: Size) -> list[str]:
    config = PROGRAM.config
    return [
        "Throughput: both at the zoo's settings for SBX (network 256x256, batches of "
        "64, an update for every two environment steps, 128 updates in a burst, "
        "uniform replay, one-step targets), in the steady state from environment step "
        f"{size.first_step:,} to {size.last_step:,}, whole bursts of updates; nothing "
        "is evaluated meanwhile. SBX steps one environment, as in its zoo, "
        f"acmelike's {config.num_actors} actors {config.num_envs_per_actor} each; for "
        "comparison SBX with 8, at the same ratio of updates.",
        "acmelike's XLA has one thread, SBX's both one and its default; the bars "
        "compare with the faster. SBX learns with one.",
        "Alone: the same actors with their data thrown away and trained parameters; "
        "the jitted update on one batch that is on the device. Acting, then learning: "
        "the rate of a program that alternates between both, each at its own rate.",
        f"Learning: acmelike at its program's own settings, SBX at its zoo's; "
        f"{size.seeds} seeds, {size.env_steps:,} environment steps. The parameters are "
        f"kept every {size.every:,} steps with the time since the first environment "
        "step (compilation of the update included), and judged after the run by the "
        "mean return of 20 fresh greedy episodes, the same for both.",
    ]


# --- Throughput -----------------------------------------------------------------------


def _throughput_trials(size: Size) -> dict[str, Any]:
    """What to measure in turn, by name."""
    window = {"seed": 0, "first_step": size.first_step, "last_step": size.last_step}
    sbx = partial(run_trial, f"{SBX}:throughput", python=PEERS)
    default, one_thread = SBX_AT_ZOO
    trials: dict[str, Any] = {
        default: partial(sbx, window, variables={"XLA_FLAGS": ""}),
        one_thread: partial(sbx, window, variables=ONE_THREAD),
        SBX_8: partial(sbx, {**window, "num_envs": 8}, variables=ONE_THREAD),
    }
    for launcher in LOCAL:
        trials[launcher] = partial(
            run_trial,
            f"{OURS}:throughput",
            {**window, "launcher": launcher, "seconds_alone": size.seconds_alone},
        )
    return trials


def _report_throughput(
    report: Report, results: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Tables of rates and of efficiencies, and the bars on them."""

    def column(name: str, key: str) -> list[float]:
        return [result[key] for result in results[name]]

    steps = {name: column(name, "env_steps_per_second") for name in results}
    updates = {name: column(name, "updates_per_second") for name in results}
    actors = {
        name: column(name, "env_steps_per_second_of_actors_alone") for name in LOCAL
    }
    learner = {
        name: column(name, "updates_per_second_of_learner_alone") for name in LOCAL
    }
    in_turns = {
        name: [
            1 / (1 / acting + ratio / learning)
            for acting, learning, ratio in zip(
                actors[name],
                learner[name],
                _ratios(updates[name], steps[name]),
                strict=True,
            )
        ]
        for name in LOCAL
    }
    report.add_table(
        "Environment steps in the steady state",
        "steps/s",
        {**steps, **{f"actors alone, {name}": actors[name] for name in LOCAL}},
    )
    report.add_table(
        "Updates in the steady state",
        "updates/s",
        {**updates, **{f"learner alone, {name}": learner[name] for name in LOCAL}},
    )
    sbx = max(SBX_AT_ZOO, key=lambda name: median(steps[name]) or 0.0)
    over_sbx = report.add_table(
        f"Environment steps per second over {sbx}, pair by pair",
        "x",
        {name: _ratios(steps[name], steps[sbx]) for name in LOCAL},
    )
    for title, whole, part in (
        ("Full program over its actors alone", steps, actors),
        ("Full program over its learner alone", updates, learner),
        ("Full program over acting, then learning", steps, in_turns),
    ):
        report.add_table(
            title, "x", {name: _ratios(whole[name], part[name]) for name in LOCAL}
        )
    best = max(over_sbx.values(), key=lambda value: value or 0.0)
    report.add_bar("env steps/s of the best launcher over SBX's", best, ">=", 1.5)
    report.add_bar("env steps/s of serial over SBX's", over_sbx["serial"], ">=", 1.0)


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


# --- Learning -------------------------------------------------------------------------


def _learning(size: Size) -> dict[str, list[dict[str, Any]]]:
    """The learning curves of both, seed by seed in turn."""
    curves: dict[str, list[dict[str, Any]]] = {"SBX": [], "acmelike": []}
    for seed in range(size.seeds):
        arguments = {"seed": seed, "env_steps": size.env_steps, "every": size.every}
        trials = {
            "SBX": partial(
                run_trial,
                f"{SBX}:learning",
                arguments,
                python=PEERS,
                variables=ONE_THREAD,
            ),
            "acmelike": partial(run_trial, f"{OURS}:learning", arguments),
        }
        for name, results in interleave(trials, 1).items():
            curves[name] += results
    return curves


def _report_learning(
    report: Report, curves: Mapping[str, list[dict[str, Any]]], size: Size
) -> None:
    """When each seed reached the target, and the bars on it."""
    for rule, in_a_row in RULES.items():
        steps, seconds = (
            {
                name: [
                    reached(curve[what], curve["mean_returns"], TARGET, in_a_row)
                    for curve in of_one
                ]
                for name, of_one in curves.items()
            }
            for what in ("env_steps", "seconds")
        )
        report.add_table(f"Environment steps to {rule}, by seed", "steps", steps)
        medians = report.add_table(f"Time to {rule}, by seed", "s", seconds)
        if in_a_row != IN_A_ROW:
            continue
        num_reached = {
            name: sum(sample is not None for sample in samples)
            for name, samples in steps.items()
        }
        report.add_bar(
            f"seeds that reach {rule} within {size.env_steps:,} steps, against SBX's",
            num_reached["acmelike"],
            ">",
            num_reached["SBX"],
        )
        report.add_bar(
            f"median seconds to {rule}, against SBX's",
            medians["acmelike"],
            "<",
            medians["SBX"],
        )
    report.add_table(
        f"Judgements of {TARGET:g} or more, by seed",
        "share of all",
        {name: [_share_at_target(c) for c in curves[name]] for name in curves},
    )


def _share_at_target(curve: Mapping[str, Any]) -> float:
    """How much of the time a curve is at the target: whether it stays there."""
    means = curve["mean_returns"]
    return sum(mean >= TARGET for mean in means) / len(means)


if __name__ == "__main__":
    run_benchmark("dqn", __doc__ or "", measure)
