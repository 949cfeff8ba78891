"""Acting at the actors against acting at one node for all: rate, latency, staleness.

python -m benchmarks.topologies --out FILE.json
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

# One thread each, also of NPROC, which programs leave alone, as nodes with processes
# have. Small networks gain nothing from more.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import run_trial

TOPOLOGIES = {"actor_learner": "at the actors", "central_inference": "at one node"}
SMALL, LARGE = (64, 64), (1024, 1024)
NUM_ACTORS = 2
# Launcher, the network's name, its layers, environments of each actor.
CASES = (
    ("processes", "small", SMALL, 8),
    ("processes", "small", SMALL, 32),
    ("processes", "large", LARGE, 8),
    ("threads", "small", SMALL, 8),
    ("threads", "large", LARGE, 8),
)


def trial(
    *,
    topology: str,
    launcher: str,
    hidden_sizes: list[int],
    num_envs: int,
    seconds: float,
    seed: int = 0,
) -> dict[str, float]:
    """IMPALA on CartPole-v1 in the steady state; a trial.

    Returns:
      Environment steps per second; seconds from an observation to its actions at an
      actor; the staleness of what was learned from, in updates and in seconds; and the
      bytes that an actor's process holds.
    """
    import time

    from acmelike.agents.impala import ImpalaBuilder, ImpalaConfig
    from acmelike.topologies.layout import Layout
    from benchmarks.ours import Setup

    config = ImpalaConfig(hidden_sizes=tuple(hidden_sizes), batch_size=16)
    setup = Setup(
        builder=ImpalaBuilder(config=config),
        environment="CartPole-v1",
        topology=topology,
        layout=Layout(num_actors=NUM_ACTORS, num_envs_per_actor=num_envs),
        launcher=launcher,
        seed=seed,
    )
    with setup.launched() as (run, system):
        replay, learner = run.client(system.replay), run.client(system.learner)
        replay.past_env_steps(8_000)  # Past all compilations.
        started, before = time.perf_counter(), replay.num_env_steps()
        first = learner.progress()
        time.sleep(seconds)
        after, ended = replay.num_env_steps(), time.perf_counter()
        last, status = learner.progress(), run.status()
        parameters = learner.parameters().parameters
    if topology == "central_inference":
        latency = status["actor/0"].edges["requests.actions"].p50_seconds or 0.0
    else:
        latency = _seconds_to_act(config, parameters, num_envs=num_envs)
    updates = last.num_updates - first.num_updates
    # Every update uses as many items, so the mean of the window is that of its updates.
    sums = [p.staleness_mean * p.num_updates for p in (first, last)]
    # Rounded, as a difference of sums that are equal need not be zero.
    staleness = round((sums[1] - sums[0]) / max(updates, 1), 6)
    return {
        "env_steps_per_second": (after - before) / (ended - started),
        "latency": latency,
        "staleness": staleness,
        "stale_seconds": staleness * (ended - started) / max(updates, 1),
        "bytes": status["actor/0"].memory_bytes,
    }


def _seconds_to_act(config: Any, parameters: Any, *, num_envs: int) -> float:
    """The median time of an evaluation for one actor's environments, by itself."""
    import statistics
    import time

    from acmelike.actors.inference import Inference
    from acmelike.agent import ActorPlace
    from acmelike.agents.impala import ImpalaBuilder
    from acmelike.environments import VectorEnvironment, make_environment_factory
    from acmelike.policies import make_portable

    environment = VectorEnvironment(
        make_environment_factory("CartPole-v1"), num_envs=num_envs, seed=0
    )
    place = ActorPlace(index=0, num_actors=NUM_ACTORS, num_envs=num_envs)
    builder, spec = ImpalaBuilder(config=config), environment.spec
    inputs = builder.make_policy_inputs(spec, place)
    policy = make_portable(builder, spec, parameters)
    acting = Inference(policy, inputs, spec, num_envs=num_envs, seed=0)
    acting.set_parameters(parameters)
    step, times = environment.reset(), []
    for _ in range(200):
        started = time.perf_counter()
        acting.act(step)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(quick: bool, command: str) -> Report:
    """Both beside each other; nothing is demanded, so there are no bars."""
    report = Report(
        benchmark="topologies",
        title="Central inference against inference at the actors",
        command=command,
        machine=describe_machine(("jax", "numpy", "gymnasium")),
        notes=[
            f"IMPALA on CartPole-v1, {NUM_ACTORS} actors of 8 environments or of 32, "
            "batches of 16 unrolls; the small network has layers of 64 and 64, the "
            "large one of 1,024 and 1,024.",
            "Latency is from an observation to its actions: the median call of the "
            "inference node as actors see it, without the sending of the observation, "
            "or of the evaluation at an actor when nothing else runs.",
            "Staleness is how far the parameters that chose the actions of an unroll "
            "are behind those it is used with: the mean over its steps, in updates, "
            "and that times the time of an update.",
        ],
    )
    cases = {
        f"{launcher}, {network} network, {num_envs} environments": {
            "launcher": launcher,
            "hidden_sizes": list(sizes),
            "num_envs": num_envs,
            "seconds": 1.0 if quick else 4.0,
        }
        for launcher, network, sizes, num_envs in CASES
    }
    trials = {
        f"{case}, {where}": partial(
            run_trial,
            "benchmarks.topologies:trial",
            {"topology": topology, **arguments},
        )
        for case, arguments in cases.items()
        for topology, where in TOPOLOGIES.items()
    }
    results = interleave(trials, 1 if quick else 3)
    rates = {
        name: [result["env_steps_per_second"] for result in of_one]
        for name, of_one in results.items()
    }
    report.add_table("Environment steps", "steps/s", rates)
    here, there = TOPOLOGIES.values()
    ratios = {
        case: [
            central / at_actors
            for at_actors, central in zip(
                rates[f"{case}, {here}"], rates[f"{case}, {there}"], strict=True
            )
        ]
        for case in cases
    }
    report.add_table("Environment steps, at one node", "of those at the actors", ratios)
    for title, unit, key, scale in (
        ("From an observation to its actions", "ms", "latency", 1e3),
        ("Staleness", "updates", "staleness", 1),
        ("Staleness", "ms", "stale_seconds", 1e3),
    ):
        rows = {
            name: [result[key] * scale for result in of_one]
            for name, of_one in results.items()
        }
        report.add_table(title, unit, rows)
    memory = {
        name: [result["bytes"] / 1e6 for result in of_one]
        for name, of_one in results.items()
        if name.startswith("processes")
    }
    report.add_table("Memory of an actor's process", "MB", memory)
    return report


if __name__ == "__main__":
    run_benchmark("topologies", __doc__ or "", measure)
