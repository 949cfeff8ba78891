"""Start-up: how long until the learner's first update, and what idle nodes hold.

python -m benchmarks.startup --out FILE.json
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.trial import run_trial

NUM_ACTORS, NUM_ENVS = 4, 4
BAR = 1.5
ONE_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "NPROC": "1"}


def one_process(*, started: float) -> dict[str, float]:
    """What cannot be done without: JAX imported, policy and update compiled; a trial.

    Returns:
      Seconds since the process was asked for, at the end of each stage.
    """
    reached = {"interpreter": time.time() - started}
    import jax
    import numpy as np

    reached["JAX imported"] = time.time() - started
    from acmelike.agents.dqn import DQNBuilder, DQNConfig
    from acmelike.environments import make_environment_factory, make_environment_spec

    builder = DQNBuilder(config=DQNConfig())
    spec = make_environment_spec(make_environment_factory("CartPole-v1")(0))
    core = builder.make_agent(spec)
    reached["agent made"] = time.time() - started
    state = jax.jit(lambda seed: core.init(jax.random.key(seed)))(np.uint32(0))
    parameters = jax.block_until_ready(core.parameters(state))
    reached["parameters made"] = time.time() - started
    policy = builder.make_greedy_inputs(spec)
    noise = policy.noise(np.random.default_rng(0), NUM_ENVS)
    observation = np.zeros((NUM_ENVS, 4), np.float32)
    jax.block_until_ready(
        jax.jit(core.act)(parameters, policy.init(NUM_ENVS), observation, noise)
    )
    reached["policy compiled"] = time.time() - started
    data = jax.tree.map(
        lambda leaf: np.zeros((builder.batch_size, *leaf.shape), leaf.dtype),
        builder.make_table(spec).signature,
    )
    jax.block_until_ready(
        jax.jit(core.update)(
            state, data, np.ones(builder.batch_size), jax.random.key(0)
        )
    )
    reached["first update"] = time.time() - started
    return reached


def program(*, started: float) -> dict[str, float]:
    """The whole program in processes, until its first update; a trial.

    Returns:
      Seconds since its process was asked for, at the end of each stage; and the
      resident memory in MB of nodes once it is there.
    """
    reached = {"interpreter": time.time() - started}
    from acmelike import Experiment, Goal, Layout, launch, make_actor_learner
    from acmelike.agents.dqn import DQNBuilder, DQNConfig
    from acmelike.environments import make_environment_factory

    never = 10**9
    with tempfile.TemporaryDirectory() as scratch:
        experiment = Experiment(
            builder=DQNBuilder(config=DQNConfig()),
            environment_factory=make_environment_factory("CartPole-v1"),
            layout=Layout(num_actors=NUM_ACTORS, num_envs_per_actor=NUM_ENVS),
            goal=Goal(max_env_steps=never, evaluate_every=never),
            metrics=str(Path(scratch) / "metrics.jsonl"),
        )
        system = make_actor_learner(experiment)
        reached["program made"] = time.time() - started
        with launch(system.program, "processes") as run:
            reached["processes asked for"] = time.time() - started
            run.client(system.replay).past_env_steps(1)
            reached["first step of an actor"] = time.time() - started
            run.client(system.learner).next_parameters(0)
            reached["first update"] = time.time() - started
            for label, status in run.status().items():
                reached[f"MB of {label}"] = status.memory_bytes / 1e6
    return reached


def measure(quick: bool, command: str) -> Report:
    """Both in turn."""
    report = Report(
        benchmark="startup",
        title="Start-up of DQN on CartPole-v1",
        command=command,
        machine=describe_machine(("jax", "jaxlib", "numpy", "gymnasium")),
        notes=[
            "Seconds since an interpreter was asked for. One process imports JAX and "
            "compiles policy and update, and does nothing else; the program has "
            f"{NUM_ACTORS} actors, replay, learner, evaluator and coordinator in "
            "processes of their own, and its first update has real data.",
            "Memory is resident, of nodes just after the first update.",
        ],
    )
    results = interleave(
        {
            "one process": partial(_trial, one_process),
            "program": partial(_trial, program),
        },
        1 if quick else 7,
    )
    medians = {}
    for name, trials in results.items():
        stages = [stage for stage in trials[0] if not stage.startswith("MB of ")]
        medians[name] = report.add_table(
            f"Reached by {name}", "s", {s: [t[s] for t in trials] for s in stages}
        )
    memory = [stage for stage in results["program"][0] if stage.startswith("MB of ")]
    report.add_table(
        "Memory",
        "MB",
        {s.removeprefix("MB of "): [t[s] for t in results["program"]] for s in memory},
    )
    ratios = [
        ours["first update"] / least["first update"]
        for ours, least in zip(results["program"], results["one process"], strict=True)
    ]
    over = report.add_table(
        "First update of the program over one process", "x", {"": ratios}
    )
    report.add_bar("first update in processes over one process", over[""], "<", BAR)
    return report


def _trial(function: Callable[..., Any]) -> Any:
    name = f"benchmarks.startup:{function.__name__}"
    return run_trial(name, {"started": time.time()}, variables=ONE_THREAD)


if __name__ == "__main__":
    run_benchmark("startup", __doc__ or "", measure)
