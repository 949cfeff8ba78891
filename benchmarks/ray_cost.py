"""PPO and DQN under `ray` against `processes`, on one machine.

python -m benchmarks.ray_cost --out FILE.json
"""

from __future__ import annotations

import os
from functools import partial

# One thread each, also of NPROC, which programs leave alone, as nodes with processes
# have. Small networks gain nothing from more.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import RAY, run_trial

PROGRAMS = ("ppo", "dqn")
LAUNCHERS = ("processes", "ray")
# Environment steps past all compilations.
FIRST_STEP = {"ppo": 20_000, "dqn": 4_000}
COST_BAR = 0.95


def rate(*, program: str, launcher: str, seconds: float, seed: int) -> float:
    """Environment steps/s in the steady state; a trial."""
    import time

    from acmelike import Layout
    from acmelike.experiments.program import find_program
    from benchmarks import ours

    made = find_program(program)
    setup = ours.Setup(
        builder=made.make_builder(made.config),
        environment="CartPole-v1",
        topology=made.config.topology,
        layout=Layout(
            num_actors=made.config.num_actors,
            num_envs_per_actor=made.config.num_envs_per_actor,
        ),
        launcher=launcher,
        seed=seed,
    )
    with setup.launched() as (run, system):
        replay = run.client(system.replay)
        before, began = replay.past_env_steps(FIRST_STEP[program]), time.perf_counter()
        time.sleep(seconds)
        made_steps = replay.num_env_steps() - before
        return made_steps / (time.perf_counter() - began)


def measure(quick: bool, command: str) -> Report:
    """Both launchers in turns, for each program."""
    repeats, seconds = (1, 1.0) if quick else (7, 10.0)
    packages = ("ray", "jax", "numpy", "gymnasium")
    report = Report(
        benchmark="ray_cost",
        title="What Ray costs on one machine",
        command=command,
        machine=describe_machine(("jax", "numpy"), {"Ray": (RAY, packages)}),
        notes=[
            "PPO and DQN on CartPole-v1 with their programs' settings, without "
            "evaluations, in the steady state. `ray` is a Ray of the run's own. Both "
            "launchers have the same interpreter, and take turns.",
        ],
    )
    for program in PROGRAMS:
        trials: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
        for seed in range(repeats):
            # The launcher that is first in one turn is second in the next.
            names = LAUNCHERS if seed % 2 == 0 else LAUNCHERS[::-1]
            arguments = {"program": program, "seconds": seconds, "seed": seed}
            turn = interleave(
                {
                    f"{program}, {name}": partial(
                        run_trial,
                        "benchmarks.ray_cost:rate",
                        {**arguments, "launcher": name},
                        python=RAY,
                    )
                    for name in names
                },
                1,
            )
            for name in LAUNCHERS:
                trials[name] += turn[f"{program}, {name}"]
        report.add_table(f"{program}, environment steps", "steps/s", trials)
        ratios = [
            ray / processes
            for ray, processes in zip(trials["ray"], trials["processes"], strict=True)
        ]
        report.add_table(f"{program}, ray over processes", "x", {"steps/s": ratios})
        name = f"{program}, env steps/s of ray over processes"
        report.add_bar(name, median(ratios), ">=", COST_BAR)
    return report


if __name__ == "__main__":
    run_benchmark("ray_cost", __doc__ or "", measure)
