"""Acting with a dense network: NumPy against JAX, by its size and by environments.

python -m benchmarks.inference --out FILE.json
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import run_trial

HIDDEN_SIZES = ((64, 64), (256, 256), (512, 512), (1024, 1024))
NUM_ENVS = (1, 4, 20, 64, 256)
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def evaluations(*, num_calls: int) -> list[dict[str, Any]]:
    """Microseconds a call of `Inference.act`, each way, for every shape; a trial."""
    import jax

    from acmelike.actors import inference
    from acmelike.agents.dqn import DQNBuilder, DQNConfig
    from acmelike.environments import make_environment_factory, make_environment_spec
    from acmelike.policies import make_portable

    spec = make_environment_spec(make_environment_factory("CartPole-v1")(0))
    found = []
    for hidden_sizes in HIDDEN_SIZES:
        builder = DQNBuilder(config=DQNConfig(hidden_sizes=hidden_sizes))
        core = builder.make_agent(spec)
        parameters = jax.device_get(core.parameters(core.init(jax.random.key(0))))
        greedy = builder.make_greedy_inputs(spec)
        policy = make_portable(builder, spec, parameters)
        size = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        for num_envs in NUM_ENVS:
            micros = {}
            for name, most in (("numpy", float("inf")), ("jax", 0)):
                inference.MAX_FOR_NUMPY = most  # type: ignore[assignment]
                acting = inference.Inference(
                    policy, greedy, spec, num_envs=num_envs, seed=0
                )
                acting.set_parameters(parameters)
                micros[name] = _microseconds(acting.act, num_envs, num_calls)
            shape = "x".join(map(str, hidden_sizes))
            found.append(
                {"shape": f"{shape}, {num_envs} environments", "size": size * num_envs}
                | micros
            )
    return found


def _microseconds(act: Any, num_envs: int, num_calls: int) -> float:
    import numpy as np

    from acmelike.types import VectorStep

    scalars, times = np.ones(num_envs, np.float32), []
    observation = np.ones((num_envs, 4), np.float32)
    step = VectorStep(scalars.astype(np.int8), scalars, scalars, observation)
    for _ in range(num_calls + 10):
        started = time.perf_counter()
        act(step)
        times.append(time.perf_counter() - started)
    return (median(times[10:]) or 0.0) * 1e6


def measure(quick: bool, command: str) -> Report:
    """Both ways beside each other; nothing is demanded, so there are no bars."""
    from acmelike.actors.inference import MAX_FOR_NUMPY

    report = Report(
        benchmark="inference",
        title="Acting with a dense network",
        command=command,
        machine=describe_machine(("jax", "numpy")),
        notes=[
            "Medians of calls in a row, in one process, XLA and BLAS with one thread. "
            f"Actors take NumPy up to {MAX_FOR_NUMPY:,} parameters times "
            "environments, in the last column of a name."
        ],
    )
    trial = partial(
        run_trial,
        "benchmarks.inference:evaluations",
        {"num_calls": 20 if quick else 300},
        variables=ONE_THREAD,
    )
    trials = interleave({"both": trial}, 1 if quick else 5)["both"]
    names = [f"{row['shape']}: {row['size']:,}" for row in trials[0]]
    for way in ("numpy", "jax"):
        samples = {
            name: [trial[index][way] for trial in trials]
            for index, name in enumerate(names)
        }
        report.add_table(f"A call with {way}", "us", samples)
    ratios = {
        name: [trial[index]["jax"] / trial[index]["numpy"] for trial in trials]
        for index, name in enumerate(names)
    }
    report.add_table("JAX's time over NumPy's", "x", ratios)
    return report


if __name__ == "__main__":
    run_benchmark("inference", __doc__ or "", measure)
