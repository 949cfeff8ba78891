"""acmelike's side of the benchmark of agents; every function here is a trial.

All are at their programs' own settings but for what the trial says, which the peers
are given too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

# One thread each, also of NPROC, which programs leave alone, as nodes with processes
# have. Small networks gain nothing from more.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from acmelike.experiments.program import find_program
from acmelike.topologies.layout import Layout
from benchmarks import ours
from benchmarks.agents_settings import make_config


def throughput(
    *,
    program: str,
    launcher: str,
    seed: int,
    first_step: int,
    last_step: int,
    seconds_alone: float,
    **flags: Any,
) -> dict[str, Any]:
    """Rates in a steady state, and those of actors and learner when each is alone.

    Args:
      program: its name.
      launcher: of the run.
      seed: of the run.
      first_step: see `ours.throughput`, as the next two.
      last_step: of the window.
      seconds_alone: for each.
      flags: of the program, other than their defaults; under "agent" those of it.
    """
    return ours.throughput(
        _setup(program, launcher=launcher, seed=seed, **flags),
        first_step=first_step,
        last_step=last_step,
        seconds_alone=seconds_alone,
    )


def learning(
    *,
    program: str,
    launcher: str,
    seed: int,
    env_steps: int,
    every: int,
    **flags: Any,
) -> dict[str, Any]:
    """The learning curve."""
    setup = _setup(program, launcher=launcher, seed=seed, **flags)
    return ours.learning(setup, env_steps=env_steps, every=every)


def rates(
    *,
    program: str,
    launcher: str,
    seed: int,
    first_step: int,
    seconds: float,
    count: Callable[[], Mapping[str, float]] = dict,
    **flags: Any,
) -> dict[str, float]:
    """Environment steps per second, and what else is counted; see `ours.rates`."""
    setup = _setup(program, launcher=launcher, seed=seed, **flags)
    return ours.rates(setup, first_step=first_step, seconds=seconds, count=count)


def _setup(
    program: str, *, launcher: str, seed: int, num_frames: int = 1, **flags: Any
) -> ours.Setup:
    config = make_config(program, **flags)
    return ours.Setup(
        builder=find_program(program).make_builder(config),
        environment=config.environment,
        num_frames=num_frames,
        topology=config.topology,
        layout=Layout(
            num_actors=config.num_actors,
            num_envs_per_actor=config.num_envs_per_actor,
            learner_cpus=config.learner_cpus,
        ),
        launcher=launcher,
        seed=seed,
        loggers=config.log,
        step_timeout=config.step_timeout,
    )
