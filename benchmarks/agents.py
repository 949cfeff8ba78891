"""PPO, IMPALA and SAC against Stable-Baselines Jax (SBX) and RLlib.

python -m benchmarks.agents --out FILE.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.agents_trials import (
    FULL,
    LAUNCHERS,
    QUICK,
    RLLIB_AGENTS,
    SBX,
    Size,
    curves_of,
    learn_ours,
    ours,
    rllib,
    sbx,
    trial,
)
from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import PEERS, RLLIB

PACKAGES = ("jax", "flax", "optax", "numpy", "gymnasium", "MinAtar")

# What is demanded of our env steps/s over theirs.
PPO_OVER_SBX, PPO_OVER_RLLIB, IMPALA_OVER_RLLIB = 3.0, 6.0, 8.0
PPO_TARGET, IMPALA_TARGET = 475.0, 450.0
SAC_OVER_SBX, SAC_OVER_UPDATE_ALONE = 1.0, 0.95
MOST_DATA_WAIT = 0.05  # Of a learner's time, where actors have capacity to spare.

Results = Mapping[str, Sequence[Mapping[str, Any]]]


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
    return [
        "PPO and IMPALA play CartPole-v1, SAC Pendulum-v1; network, batches, epochs, "
        "learning rate and the like are the same for all. Eight environments in all, "
        "for SAC one; acmelike's PPO has two actors, its IMPALA one, as RLlib's.",
        f"Throughput: in the steady state, environment steps {first:,} to {last:,}, "
        f"SAC {size.sac_window[0]:,} to {size.sac_window[1]:,}, on pixels "
        f"{size.pixels_window[0]:,} to {size.pixels_window[1]:,}, RLlib "
        f"{size.rllib_window[0]:,} to {size.rllib_window[1]:,}; nothing is evaluated "
        "meanwhile. acmelike's rate is that of its best launcher; all are in "
        "the tables. acmelike and SBX have one XLA "
        "thread.",
        "SBX's SAC updates after every step, or 32 times after every 32; RLlib has one "
        "process that acts, or none: the faster of both counts.",
        "Alone: the same actors with their data thrown away and trained parameters; "
        "the jitted update on one batch that is on the device.",
        "On pixels IMPALA plays MinAtar/Breakout-v1, with a convolution of 16 channels "
        "and a dense layer of 128 units; only its rates are measured.",
        "Learning: the parameters are kept every 1,000 steps (IMPALA 10,000) with the "
        "time since the first environment step (for RLlib since its first call to "
        "train), and judged after the run by the mean return of 20 fresh greedy "
        "episodes, the same for all.",
    ]


# --- One agent after the other --------------------------------------------------------


def _ppo(report: Report, size: Size) -> Any:
    throughput = interleave(
        {**ours("ppo", size), **sbx("ppo", size), **rllib("ppo", size)},
        size.repeats,
    )
    best = _report_rates(report, "PPO", throughput, "env_steps_per_second")
    over_sbx = _over(report, "PPO", throughput, best, "SBX")
    over_rllib = _over(report, "PPO", throughput, best, "RLlib")
    report.add_bar("PPO, env steps/s over SBX's", over_sbx, ">=", PPO_OVER_SBX)
    report.add_bar("PPO, env steps/s over RLlib's", over_rllib, ">=", PPO_OVER_RLLIB)
    _report_efficiency(report, "PPO", throughput)

    window = {"env_steps": size.ppo_steps, "every": 1_000}
    launcher = best if best != "serial" else "threads"
    curves = curves_of(
        {
            "acmelike": partial(learn_ours, "ppo", launcher, window),
            "SBX": partial(trial, f"{SBX}:learning", {"agent": "ppo", **window}, PEERS),
            "RLlib": partial(
                trial,
                f"{RLLIB_AGENTS}:learning",
                {"algorithm": "ppo", "num_runners": 1, **window},
                RLLIB,
            ),
        },
        seeds=size.repeats,
    )
    seconds = report.add_table(
        f"PPO, time to a mean return of {PPO_TARGET:g}, by seed",
        "s",
        {
            name: [_reached(curve, "seconds", PPO_TARGET) for curve in of_one]
            for name, of_one in curves.items()
        },
    )
    for peer in ("SBX", "RLlib"):
        report.add_bar(
            f"PPO, median seconds to {PPO_TARGET:g}, against {peer}'s",
            seconds["acmelike"],
            "<",
            seconds[peer],
        )
    return {"throughput": throughput, "learning": curves}


def _impala(report: Report, size: Size) -> Any:
    throughput = interleave(
        {**ours("impala", size), **rllib("impala", size)}, size.repeats
    )
    best = _report_rates(report, "IMPALA", throughput, "env_steps_per_second")
    over = _over(report, "IMPALA", throughput, best, "RLlib")
    report.add_bar("IMPALA, env steps/s over RLlib's", over, ">=", IMPALA_OVER_RLLIB)
    _report_efficiency(report, "IMPALA", throughput)

    window = {"env_steps": size.impala_steps, "every": min(10_000, size.impala_steps)}
    launcher = best if best != "serial" else "threads"
    curves = curves_of(
        {"acmelike": partial(learn_ours, "impala", launcher, window)}, seeds=size.seeds
    )
    arguments = {
        "algorithm": "impala",
        "num_runners": 1,
        "env_steps": size.rllib_impala_steps,
        "every": window["every"],
    }
    learn = partial(trial, f"{RLLIB_AGENTS}:learning", arguments, RLLIB)
    curves |= curves_of({"RLlib": learn}, seeds=1)
    report.add_table(
        f"IMPALA, environment steps to a mean return of {IMPALA_TARGET:g}, by seed",
        "steps",
        {
            name: [_reached(curve, "env_steps", IMPALA_TARGET) for curve in of_one]
            for name, of_one in curves.items()
        },
    )
    at_end = {
        name: [curve["mean_returns"][-1] for curve in of_one]
        for name, of_one in curves.items()
    }
    report.add_table("IMPALA, mean return at the end, by seed", "return", at_end)
    reached_and_held = sum(
        _reached(curve, "env_steps", IMPALA_TARGET) is not None
        and curve["mean_returns"][-1] >= IMPALA_TARGET
        for curve in curves["acmelike"]
    )
    report.add_bar(
        f"IMPALA, seeds that reach {IMPALA_TARGET:g} and have it at the end",
        reached_and_held,
        ">=",
        max(size.seeds - 1, 1),
    )
    return {"throughput": throughput, "learning": curves}


def _pixels(report: Report, size: Size) -> Any:
    name = "IMPALA on pixels"
    throughput = interleave(
        {**ours("pixels", size), **rllib("pixels", size)}, size.repeats
    )
    best = _report_rates(report, name, throughput, "env_steps_per_second")
    _over(report, name, throughput, best, "RLlib")
    _report_efficiency(report, name, throughput)
    return {"throughput": throughput}


def _sac(report: Report, size: Size) -> Any:
    throughput = interleave({**ours("sac", size), **sbx("sac", size)}, size.repeats)
    best = _report_rates(report, "SAC", throughput, "updates_per_second")
    over = _over(report, "SAC", throughput, best, "SBX", "updates_per_second")
    report.add_bar("SAC, updates/s over SBX's", over, ">=", SAC_OVER_SBX)
    efficiency = _report_efficiency(report, "SAC", throughput)
    report.add_bar(
        "SAC, updates/s over the update alone",
        max(filter(None, efficiency.values())),
        ">=",
        SAC_OVER_UPDATE_ALONE,
    )
    return {"throughput": throughput}


# --- What follows from it -------------------------------------------------------------


def _report_rates(report: Report, agent: str, results: Results, what: str) -> str:
    """Tables of both rates; returns the launcher with the best median of `what`."""
    for key, title, unit in (
        ("env_steps_per_second", "environment steps in the steady state", "steps/s"),
        ("updates_per_second", "updates in the steady state", "updates/s"),
    ):
        rows = {name: _column(results, name, key) for name in results}
        for launcher in LAUNCHERS:
            alone = "actors" if key.startswith("env") else "learner"
            column = _column(results, launcher, f"{key}_of_{alone}_alone")
            rows[f"{alone} alone, {launcher}"] = column
        rows = {name: samples for name, samples in rows.items() if samples}
        report.add_table(f"{agent}, {title}", unit, rows)
    return max(LAUNCHERS, key=lambda name: median(_column(results, name, what)) or 0)


def _over(
    report: Report,
    agent: str,
    results: Results,
    best: str,
    peer: str,
    what: str = "env_steps_per_second",
) -> float | None:
    """The median ratio of the best launcher over the faster variant of a peer."""
    variants = [name for name in results if name.startswith(peer)]
    fastest = max(variants, key=lambda name: median(_column(results, name, what)) or 0)
    unit = what.replace("_per_second", "/s").replace("_", " ")
    ratios = {
        launcher: _ratios(
            _column(results, launcher, what), _column(results, fastest, what)
        )
        for launcher in LAUNCHERS
    }
    title = f"{agent}, {unit} over {fastest}, pair by pair"
    return report.add_table(title, "x", ratios)[best]


def _report_efficiency(
    report: Report, agent: str, results: Results
) -> dict[str, float | None]:
    """Full over actors alone and over the learner alone; returns the latter's medians.

    And who waits: a learner may not wait for data while actors have time to spare.
    """
    medians: dict[str, float | None] = {}
    for key, alone in (("env_steps", "actors"), ("updates", "learner")):
        rows = {
            launcher: _ratios(
                _column(results, launcher, f"{key}_per_second"),
                _column(results, launcher, f"{key}_per_second_of_{alone}_alone"),
            )
            for launcher in LAUNCHERS
        }
        medians = report.add_table(f"{agent}, full over {alone} alone", "x", rows)
    # Under serial, nodes take turns, so waiting says nothing.
    free = [launcher for launcher in LAUNCHERS if launcher != "serial"]
    waits = {
        name: report.add_table(
            f"{agent}, share of time that {who} waited for replay",
            "of 1",
            {
                launcher: [
                    _waited(result["nodes"], label) for result in results[launcher]
                ]
                for launcher in free
            },
        )
        for name, who, label in (
            ("learner", "the learner", "learner"),
            ("actors", "actors", "actor/"),
        )
    }
    for launcher in free:
        if (waits["actors"][launcher] or 0) > MOST_DATA_WAIT:
            report.add_bar(
                f"{agent}, {launcher}: the learner's wait, as actors wait too",
                waits["learner"][launcher],
                "<",
                MOST_DATA_WAIT,
            )
    return medians


def _waited(nodes: Mapping[str, Mapping[str, float]], label: str) -> float:
    """The share of a window that nodes of this label waited for replay, a mean."""
    shares = [
        sum(
            share for what, share in node.items() if what.startswith("waits for replay")
        )
        for name, node in nodes.items()
        if name.startswith(label)
    ]
    return sum(shares) / len(shares)


def _column(results: Results, name: str, key: str) -> list[float]:
    return [result[key] for result in results[name] if key in result]


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


def _reached(curve: Mapping[str, Any], what: str, target: float) -> float | None:
    """The steps or seconds at which a judgement was first at the target."""
    for value, mean in zip(curve[what], curve["mean_returns"], strict=True):
        if mean >= target:
            return float(value)
    return None


if __name__ == "__main__":
    run_benchmark("agents", __doc__ or "", measure)
