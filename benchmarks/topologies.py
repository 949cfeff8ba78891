"""Acting at the actors against acting at one node for all: rate, latency, staleness.

python -m benchmarks.topologies --out FILE.json
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

# As the programs do: small networks gain nothing from XLA's own threads.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import run_trial

TOPOLOGIES = {"actor_learner": "at the actors", "central_inference": "at one node"}
NETWORKS = {"small": (64, 64), "large": (1024, 1024)}
NUM_ACTORS, NUM_ENVS = 2, 8


def trial(
    *, topology: str, hidden_sizes: list[int], seconds: float, seed: int = 0
) -> dict[str, float]:
    """IMPALA on CartPole-v1 in processes, in the steady state; a trial.

    Returns:
      Environment steps per second, seconds from an observation to its actions at an
      actor, and the mean staleness of what was learned from, in updates.
    """
    import time

    from acmelike.topologies import Layout
    from agents.impala.builder import ImpalaBuilder
    from agents.impala.config import ImpalaConfig
    from benchmarks.ours import Setup

    config = ImpalaConfig(hidden_sizes=tuple(hidden_sizes), batch_size=16)
    setup = Setup(
        builder=ImpalaBuilder(config=config),
        environment="CartPole-v1",
        topology=topology,
        layout=Layout(num_actors=NUM_ACTORS, num_envs_per_actor=NUM_ENVS),
        launcher="processes",
        seed=seed,
    )
    with setup.launched() as (run, system):
        replay, learner = run.client(system.replay), run.client(system.learner)
        replay.past_env_steps(4_000)  # Past all compilations.
        started, before = time.perf_counter(), replay.num_env_steps()
        time.sleep(seconds)
        after, ended = replay.num_env_steps(), time.perf_counter()
        status, staleness = run.status(), learner.progress().staleness_mean
        parameters = learner.parameters().parameters
    if topology == "central_inference":
        latency = status["actor/0"].edges["requests.action"].p50_seconds or 0.0
    else:
        latency = _seconds_to_act(config, parameters)
    return {
        "env_steps_per_second": (after - before) / (ended - started),
        "latency": latency,
        "staleness": staleness,
    }


def _seconds_to_act(config: Any, parameters: Any) -> float:
    """The median time of an evaluation for one actor's environments, by itself."""
    import statistics
    import time

    from acmelike.actors.inference import Inference
    from acmelike.agent import ActorPlace
    from acmelike.environments import VectorEnvironment, make_environment_factory
    from agents.impala.builder import ImpalaBuilder

    environment = VectorEnvironment(
        make_environment_factory("CartPole-v1"), num_envs=NUM_ENVS, seed=0
    )
    place = ActorPlace(index=0, num_actors=NUM_ACTORS, num_envs=NUM_ENVS)
    policy = ImpalaBuilder(config=config).make_policy(environment.spec, place)
    acting = Inference(policy, environment.spec, num_envs=NUM_ENVS, seed=0)
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
            f"IMPALA on CartPole-v1, launched by processes, {NUM_ACTORS} actors of "
            f"{NUM_ENVS} environments, batches of 16 unrolls; networks with layers of "
            "64 and 64, and of 1,024 and 1,024.",
            "Latency is from an observation to its actions: the median call of the "
            "inference node as actors see it, or of the evaluation at an actor when "
            "nothing else runs.",
            "Staleness is the mean number of updates between the parameters that chose "
            "the last action of an unroll, and its use.",
        ],
    )
    trials = {
        f"{TOPOLOGIES[topology]}, {network} network": partial(
            run_trial,
            "benchmarks.topologies:trial",
            {
                "topology": topology,
                "hidden_sizes": list(sizes),
                "seconds": 1.0 if quick else 10.0,
            },
        )
        for network, sizes in NETWORKS.items()
        for topology in TOPOLOGIES
    }
    results = interleave(trials, 1 if quick else 5)
    for title, unit, key, scale in (
        ("Environment steps", "steps/s", "env_steps_per_second", 1),
        ("From an observation to its actions", "us", "latency", 1e6),
        ("Staleness", "updates", "staleness", 1),
    ):
        rows = {
            name: [result[key] * scale for result in of_one]
            for name, of_one in results.items()
        }
        report.add_table(title, unit, rows)
    return report


if __name__ == "__main__":
    run_benchmark("topologies", __doc__ or "", measure)
