"""PPO, IMPALA and SAC against Stable-Baselines Jax (SBX) and RLlib.

python -m benchmarks.agents --out FILE.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.agents_settings import decay_of_learning_rate
from benchmarks.agents_tables import (
    Results,
    fastest,
    over,
    report_efficiency,
    report_rates,
    report_waits,
)
from benchmarks.agents_trials import (
    BURST,
    FLAGS,
    FULL,
    QUICK,
    RLLIB_RUNNERS,
    Size,
    curves_of,
    learn_ours,
    learn_rllib,
    learn_sbx,
    ours,
    rllib,
    sbx,
)
from benchmarks.command import run_benchmark
from benchmarks.curves import reached
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import PEERS, RLLIB

PACKAGES = ("jax", "flax", "optax", "numpy", "gymnasium", "MinAtar")

# What is demanded of our env steps/s over theirs.
PPO_OVER_SBX, PPO_OVER_RLLIB, IMPALA_OVER_RLLIB = 3.0, 6.0, 8.0
PPO_TARGET, IMPALA_TARGET = 475.0, 450.0
SAC_OVER_SBX, SAC_OVER_UPDATE_ALONE = 1.0, 0.95

Curves = Mapping[str, Sequence[Mapping[str, Any]]]


def measure(quick: bool, command: str) -> Report:
    """All trials, and what follows from them."""
    size = QUICK if quick else FULL
    peers = {
        "SBX": (PEERS, ("sbx-rl", "stable-baselines3", *PACKAGES)),
        "RLlib": (RLLIB, ("ray", "torch", "numpy", "gymnasium", "MinAtar")),
    }
    report = Report(
        benchmark="agents",
        title="PPO, IMPALA and SAC, and IMPALA on pixels",
        command=command,
        machine=describe_machine(PACKAGES, peers),
        notes=_notes(size),
    )
    for name, judge in (
        ("ppo", _ppo),
        ("impala", _impala),
        ("pixels", _pixels),
        ("sac", _sac),
    ):
        report.details[name] = judge(report, size)
    return report


def _notes(size: Size) -> list[str]:
    first, last = size.window
    ppo, impala = (decay_of_learning_rate(**FLAGS[name]) for name in ("ppo", "impala"))
    return [
        "PPO and IMPALA play CartPole-v1, SAC Pendulum-v1, with eight environments in "
        "all, for SAC one; acmelike's PPO has two actors, its IMPALA one, as RLlib's.",
        "The same for all: layers and their activations, batches, epochs, discounts, "
        "clipping, the weights of losses, the scale of IMPALA's rewards, and learning "
        f"rates, which fall in a straight line: PPO's from {ppo['start']:g} to "
        f"{ppo['end']:g} over {ppo['env_steps']:,.0f} environment steps, of which the "
        f"learning curves see the first {size.ppo_steps:,}, IMPALA's from "
        f"{impala['start']:g} to {impala['end']:g} over {impala['env_steps']:,.0f}; "
        "SAC's is constant.",
        "Not the same: how weights begin; SBX's PPO limits the gradient of the policy "
        "and that of the value each, acmelike and RLlib that of both together; RLlib's "
        "PPO standardizes advantages in a batch, the others in a minibatch, and its "
        "Adam has 1e-8 as epsilon, theirs 1e-5.",
        f"Throughput: in the steady state, environment steps {first:,} to {last:,}, "
        f"SAC {size.sac_window[0]:,} to {size.sac_window[1]:,}, on pixels "
        f"{size.pixels_window[0]:,} to {size.pixels_window[1]:,}, the same for all; "
        "nothing is evaluated meanwhile. acmelike's rate is that of its best launcher, "
        "in all bars of an agent; all are in the tables. acmelike and SBX have one XLA "
        "thread.",
        f"Updates of SAC: one for each environment step. acmelike makes {BURST} in one "
        f"call, SBX one, or {BURST} after every {BURST} steps. RLlib's PPO has one "
        "process that acts, or none. The faster of both counts, for the learning "
        "curves too.",
        "Alone: the same actors with their data thrown away and trained parameters; "
        "the jitted update on one batch that is on the device. Acting, then learning: "
        "the rate of a program that alternates between both, each at its own rate.",
        "The bar on the learner's wait for data is for agents whose actors and learner "
        "work at the same time, where actors wait too, be it for replay or for the "
        "learner: then they could have made the data. In lock-step (PPO) each waits "
        "while the other works, by definition; what is lost is the time in which "
        "neither works. It has no bar, but a table.",
        "On pixels IMPALA plays MinAtar/Breakout-v1, with a convolution of 16 channels "
        "and a dense layer of 128 units; only its rates are measured.",
        "Learning: the parameters are kept every 1,000 steps (IMPALA 10,000) with the "
        "time since the first environment step (for RLlib since its first call to "
        "train), and judged after the run by the mean return of 20 fresh greedy "
        "episodes, the same for all. The target is reached by the second of two in a "
        "row that are at it.",
    ]


# --- One agent after the other --------------------------------------------------------


def _ppo(report: Report, size: Size) -> Any:
    throughput = interleave(
        {**ours("ppo", size), **sbx("ppo", size), **rllib("ppo", size)},
        size.repeats,
    )
    best = report_rates(report, "PPO", throughput, "env_steps_per_second")
    over_sbx = over(report, "PPO", throughput, best, "SBX")
    over_rllib = over(report, "PPO", throughput, best, "RLlib")
    report.add_bar("PPO, env steps/s over SBX's", over_sbx, ">=", PPO_OVER_SBX)
    report.add_bar("PPO, env steps/s over RLlib's", over_rllib, ">=", PPO_OVER_RLLIB)
    report_efficiency(report, "PPO", throughput, lock_step=True)
    report_waits(report, "PPO", throughput, lock_step=True)

    window = {"env_steps": size.ppo_steps, "every": 1_000}
    launcher = best if best != "serial" else "threads"
    num_runners = RLLIB_RUNNERS[fastest(throughput, "RLlib")]
    curves = curves_of(
        {
            "acmelike": partial(learn_ours, "ppo", launcher, window),
            "SBX": partial(learn_sbx, "ppo", window),
            "RLlib": partial(learn_rllib, "ppo", num_runners, window),
        },
        seeds=size.seeds,
    )
    _report_learning_of_ppo(report, curves)
    return {"throughput": throughput, "learning": curves}


def _report_learning_of_ppo(report: Report, curves: Curves) -> None:
    """When each seed reached the target, and the bars on it."""
    rule = f"a mean return of {PPO_TARGET:g} twice in a row"
    steps, seconds = (
        _all_reached(curves, w, PPO_TARGET) for w in ("env_steps", "seconds")
    )
    report.add_table(f"PPO, environment steps to {rule}, by seed", "steps", steps)
    medians = report.add_table(f"PPO, time to {rule}, by seed", "s", seconds)
    shares = {
        name: sum(sample is not None for sample in samples) / len(samples)
        for name, samples in steps.items()
    }
    report.add_bar(
        f"PPO, share of seeds that reach {PPO_TARGET:g}, against SBX's",
        shares["acmelike"],
        ">=",
        shares["SBX"],
    )
    for peer in ("SBX", "RLlib"):
        report.add_bar(
            f"PPO, median seconds to {PPO_TARGET:g}, against {peer}'s",
            medians["acmelike"],
            "<",
            medians[peer],
        )


def _impala(report: Report, size: Size) -> Any:
    throughput = interleave(
        {**ours("impala", size), **rllib("impala", size)}, size.repeats
    )
    best = report_rates(report, "IMPALA", throughput, "env_steps_per_second")
    ratio = over(report, "IMPALA", throughput, best, "RLlib")
    report.add_bar("IMPALA, env steps/s over RLlib's", ratio, ">=", IMPALA_OVER_RLLIB)
    report_efficiency(report, "IMPALA", throughput)
    report_waits(report, "IMPALA", throughput)

    window = {"env_steps": size.impala_steps, "every": min(10_000, size.impala_steps)}
    launcher = best if best != "serial" else "threads"
    curves = curves_of(
        {"acmelike": partial(learn_ours, "impala", launcher, window)}, seeds=size.seeds
    )
    num_runners = RLLIB_RUNNERS[fastest(throughput, "RLlib")]
    learn = partial(learn_rllib, "impala", num_runners, window)
    curves |= curves_of({"RLlib": learn}, seeds=1)
    _report_learning_of_impala(report, curves)
    return {"throughput": throughput, "learning": curves}


def _report_learning_of_impala(report: Report, curves: Curves) -> None:
    """When each seed reached the target and whether it kept it, and the bar on it."""
    rule = f"a mean return of {IMPALA_TARGET:g} twice in a row"
    steps = _all_reached(curves, "env_steps", IMPALA_TARGET)
    report.add_table(f"IMPALA, environment steps to {rule}, by seed", "steps", steps)
    at_end = {
        name: [curve["mean_returns"][-1] for curve in of_one]
        for name, of_one in curves.items()
    }
    report.add_table("IMPALA, mean return at the end, by seed", "return", at_end)
    reached_and_held = sum(
        where is not None and last >= IMPALA_TARGET
        for where, last in zip(steps["acmelike"], at_end["acmelike"], strict=True)
    )
    report.add_bar(
        f"IMPALA, seeds that reach {IMPALA_TARGET:g} and have it at the end",
        reached_and_held,
        ">=",
        max(len(curves["acmelike"]) - 1, 1),
    )
    (theirs,) = steps["RLlib"]
    budget = curves["RLlib"][0]["env_steps"][-1]
    report.notes.append(
        "RLlib's IMPALA, with its rewards scaled as acmelike's are, "
        + (
            f"does not reach {IMPALA_TARGET:g} within {budget:,} steps on its one seed."
            if theirs is None
            else f"reaches {IMPALA_TARGET:g} too, on its one seed after {theirs:,.0f} "
            "environment steps."
        )
    )


def _pixels(report: Report, size: Size) -> Any:
    name = "IMPALA on pixels"
    throughput = interleave(
        {**ours("pixels", size), **rllib("pixels", size)}, size.repeats
    )
    best = report_rates(report, name, throughput, "env_steps_per_second")
    over(report, name, throughput, best, "RLlib")
    report_efficiency(report, name, throughput)
    report_waits(report, name, throughput)
    return {"throughput": throughput}


def _sac(report: Report, size: Size) -> Any:
    throughput = interleave({**ours("sac", size), **sbx("sac", size)}, size.sac_repeats)
    _report_sac(report, throughput)
    return {"throughput": throughput}


def _report_sac(report: Report, throughput: Results) -> None:
    """Its rates, and the bars on them, both of the same launcher."""
    best = report_rates(report, "SAC", throughput, "updates_per_second")
    ratio = over(report, "SAC", throughput, best, "SBX", "updates_per_second")
    report.add_bar("SAC, updates/s over SBX's", ratio, ">=", SAC_OVER_SBX)
    efficiency = report_efficiency(report, "SAC", throughput)
    report.add_bar(
        "SAC, updates/s over the update alone",
        efficiency[best],
        ">=",
        SAC_OVER_UPDATE_ALONE,
    )
    report_waits(report, "SAC", throughput)


def _all_reached(
    curves: Curves, what: str, target: float
) -> dict[str, list[float | None]]:
    """The steps or seconds at which each seed of each had reached the target."""
    return {
        name: [reached(curve[what], curve["mean_returns"], target) for curve in of_one]
        for name, of_one in curves.items()
    }


if __name__ == "__main__":
    run_benchmark("agents", __doc__ or "", measure)
