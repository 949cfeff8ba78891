"""The trials of the benchmark of agents: who runs what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from benchmarks.agents_settings import decay_of_learning_rate
from benchmarks.report import interleave
from benchmarks.trial import PEERS, RLLIB, run_trial

OURS = "benchmarks.agents_acmelike"
SBX, RLLIB_AGENTS = "benchmarks.peers.sbx_agents", "benchmarks.peers.rllib_agents"
LAUNCHERS = ("serial", "threads", "processes")
# How many processes of RLlib act.
RLLIB_RUNNERS = {"RLlib": 1, "RLlib, acting in the driver": 0}
# Updates of SAC in one call, ours and, where it steps as often before, SBX's.
BURST = 32
# What is not a default: eight environments in all, IMPALA's in one process, as RLlib's.
FLAGS: dict[str, dict[str, Any]] = {
    "ppo": {"program": "ppo"},
    "impala": {"program": "impala", "num_actors": 1, "num_envs_per_actor": 8},
    "sac": {
        "program": "sac",
        "learner_cpus": 1,
        "agent": {"num_updates_per_call": BURST},
    },
}
FLAGS["pixels"] = {
    **FLAGS["impala"],
    "environment": "MinAtar/Breakout-v1",
    "agent": {"hidden_sizes": (128,)},
}
ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "NPROC": "1"}


class Size(NamedTuple):
    """How much is measured.

    Attributes:
      repeats: of every trial but SAC's.
      sac_repeats: of SAC's, whose updates differ by a tenth from trial to trial, more
        than the bars leave room for.
      window: environment steps at which one of throughput begins and ends.
      sac_window: the same, for SAC.
      pixels_window: the same, on pixels.
      seconds_alone: for actors, and then for the learner, alone.
      ppo_steps: of a learning curve.
      impala_steps: of a learning curve.
      seeds: of the curves, but of RLlib's IMPALA, which has one.
    """

    repeats: int
    sac_repeats: int
    window: tuple[int, int]
    sac_window: tuple[int, int]
    pixels_window: tuple[int, int]
    seconds_alone: float
    ppo_steps: int
    impala_steps: int
    seeds: int


FULL = Size(
    repeats=3,
    sac_repeats=7,
    window=(20_000, 80_000),
    sac_window=(1_500, 3_000),
    pixels_window=(10_000, 40_000),
    seconds_alone=3.0,
    ppo_steps=100_000,
    impala_steps=400_000,
    seeds=5,
)
QUICK = Size(
    repeats=1,
    sac_repeats=1,
    window=(2_000, 6_000),
    sac_window=(1_200, 1_600),
    pixels_window=(2_000, 6_000),
    seconds_alone=0.5,
    ppo_steps=4_000,
    impala_steps=4_000,
    seeds=1,
)


def learn_ours(
    program: str, launcher: str, window: Mapping[str, int], seed: int
) -> Any:
    """A learning curve of a program of ours."""
    arguments = {**FLAGS[program], "launcher": launcher, "seed": seed, **window}
    return run_trial(f"{OURS}:learning", arguments)


def learn_sbx(agent: str, window: Mapping[str, int], seed: int) -> Any:
    """A learning curve of SBX."""
    return _of_peer(f"{SBX}:learning", {**_sbx_agent(agent), **window}, PEERS, seed)


def learn_rllib(
    algorithm: str, num_runners: int, window: Mapping[str, int], seed: int
) -> Any:
    """A learning curve of RLlib."""
    arguments = {**_rllib_algorithm(algorithm, num_runners), **window}
    return _of_peer(f"{RLLIB_AGENTS}:learning", arguments, RLLIB, seed)


def _of_peer(
    function: str,
    arguments: Mapping[str, Any],
    python: str,
    seed: int = 0,
    variables: Mapping[str, str] = ONE_THREAD,
) -> Any:
    return run_trial(
        function, {**arguments, "seed": seed}, python=python, variables=variables
    )


def _sbx_agent(agent: str) -> dict[str, Any]:
    decay = decay_of_learning_rate(**FLAGS[agent]) if agent == "ppo" else None
    return {"agent": agent, "learning_rate": decay}


def _rllib_algorithm(algorithm: str, num_runners: int) -> dict[str, Any]:
    return {
        "algorithm": algorithm,
        "learning_rate": decay_of_learning_rate(**FLAGS[algorithm]),
        "num_runners": num_runners,
    }


def _window(agent: str, size: Size) -> dict[str, int]:
    windows = {"sac": size.sac_window, "pixels": size.pixels_window}
    first, last = windows.get(agent, size.window)
    return {"first_step": first, "last_step": last}


def ours(agent: str, size: Size) -> dict[str, Any]:
    """Our throughput by launcher, as trials by name."""
    arguments = {
        **FLAGS[agent],
        "seed": 0,
        "seconds_alone": size.seconds_alone,
        **_window(agent, size),
    }
    return {
        launcher: partial(
            run_trial,
            f"{OURS}:throughput",
            {**arguments, "launcher": launcher},
        )
        for launcher in LAUNCHERS
    }


def sbx(agent: str, size: Size) -> dict[str, Any]:
    """SBX's throughput, as trials by name."""
    arguments = {**_sbx_agent(agent), **_window(agent, size)}
    bursts = {"SBX": 1, "SBX, in bursts": BURST} if agent == "sac" else {"SBX": 1}
    return {
        name: partial(
            _of_peer,
            f"{SBX}:throughput",
            {**arguments, "burst": burst},
            PEERS,
            variables=ONE_THREAD,
        )
        for name, burst in bursts.items()
    }


def rllib(algorithm: str, size: Size) -> dict[str, Any]:
    """RLlib's throughput, as trials by name; only its PPO can act in the driver."""
    return {
        name: partial(
            _of_peer,
            f"{RLLIB_AGENTS}:throughput",
            {**_rllib_algorithm(algorithm, number), **_window(algorithm, size)},
            RLLIB,
        )
        for name, number in RLLIB_RUNNERS.items()
        if number or algorithm == "ppo"
    }


def curves_of(learn: Mapping[str, Any], *, seeds: int) -> dict[str, list[Any]]:
    """The learning curves of each, seed by seed in turn."""
    curves: dict[str, list[Any]] = {name: [] for name in learn}
    for seed in range(seeds):
        trials = {name: partial(one, seed=seed) for name, one in learn.items()}
        for name, results in interleave(trials, 1).items():
            curves[name] += results
    return curves
