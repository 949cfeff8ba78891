"""K environments of an actor: one by one, and in Gymnasium's vectorised version.

python -m benchmarks.environments --out FILE.json
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import run_trial

NUM_ENVS = (1, 4, 8, 16, 64)
WAYS = {"one by one": "CartPole-v1", "vectorised": "vec:CartPole-v1"}


def rates(*, seconds: float) -> dict[str, dict[str, float]]:
    """Environment steps a second with random actions, each way, by K; a trial."""
    import numpy as np

    from acmelike.environments import make_environment_factory, make_vector_environment

    found: dict[str, dict[str, float]] = {way: {} for way in WAYS}
    for num_envs in NUM_ENVS:
        actions = np.random.default_rng(0).integers(2, size=(1_000, num_envs))
        for way, name in WAYS.items():
            environment: Any = make_vector_environment(
                make_environment_factory(name), num_envs=num_envs, seed=0
            )
            environment.reset()
            num_steps, number, started = 0, 0, time.perf_counter()
            while (passed := time.perf_counter() - started) < seconds:
                step = environment.step(actions[number % len(actions)])
                num_steps, number = num_steps + step.num_env_steps(), number + 1
            environment.close()
            found[way][f"{num_envs} environments"] = num_steps / passed
    return found


def measure(quick: bool, command: str) -> Report:
    """Both ways beside each other; nothing is demanded, so there are no bars."""
    report = Report(
        benchmark="environments",
        title="CartPole-v1, several in one actor",
        command=command,
        machine=describe_machine(("gymnasium", "numpy")),
        notes=["Random actions; the actor's policy and replay are not part of it."],
    )
    trial = partial(
        run_trial,
        "benchmarks.environments:rates",
        {"seconds": 0.05 if quick else 1.0},
    )
    trials = interleave({"both": trial}, 1 if quick else 5)["both"]
    for way in WAYS:
        samples = {
            name: [trial[way][name] for trial in trials] for name in trials[0][way]
        }
        report.add_table(f"Steps {way}", "steps/s", samples)
    one, all_at_once = WAYS
    ratios = {
        name: [trial[all_at_once][name] / trial[one][name] for trial in trials]
        for name in trials[0][one]
    }
    report.add_table("Vectorised over one by one", "x", ratios)
    return report


if __name__ == "__main__":
    run_benchmark("environments", __doc__ or "", measure)
