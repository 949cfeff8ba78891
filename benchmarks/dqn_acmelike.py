"""acmelike's side of the DQN benchmark; every function here is a trial.

Throughput is taken at the settings of SBX's zoo, learning at the program's own.
"""

from __future__ import annotations

import os
from typing import Any

# One thread each, also of NPROC, which programs leave alone, as nodes with processes
# have. Small networks gain nothing from more.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.programs.dqn import PROGRAM
from acmelike.topologies.layout import Layout
from benchmarks import ours

# The zoo's settings in acmelike's words. SBX copies the target network every 10 steps,
# but learns in bursts of 128 updates between steps, so it changes once for each burst.
ZOO = DQNConfig(
    hidden_sizes=(256, 256),
    double=False,
    dueling=False,
    n_step=1,
    prioritized=False,
    optimizer=OptimizerSettings(learning_rate=2.3e-3, final_fraction=1.0),
    batch_size=64,
    num_updates_per_call=128,
    target_update_period=128,
    replay=ReplaySettings(size=100_000, min_size=1_000, samples_per_insert=32.0),
)
DEFAULTS = PROGRAM.config


def throughput(
    *,
    launcher: str,
    seed: int,
    first_step: int,
    last_step: int,
    seconds_alone: float,
    num_actors: int = DEFAULTS.num_actors,
    num_envs_per_actor: int = DEFAULTS.num_envs_per_actor,
) -> dict[str, Any]:
    """Rates in a steady state, and those of actors and learner when each is alone.

    Args:
      launcher: of the run.
      seed: of the run.
      first_step: see `ours.throughput`, as the next two.
      last_step: of the window.
      seconds_alone: for each.
      num_actors: in the program, and of actors alone.
      num_envs_per_actor: the same.
    """
    return ours.throughput(
        _setup(ZOO, launcher, seed, num_actors, num_envs_per_actor),
        first_step=first_step,
        last_step=last_step,
        seconds_alone=seconds_alone,
    )


def learning(*, seed: int, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve at the program's own settings, with its own launcher."""
    setup = _setup(
        DEFAULTS.agent,
        DEFAULTS.launch,
        seed,
        DEFAULTS.num_actors,
        DEFAULTS.num_envs_per_actor,
    )
    return ours.learning(setup, env_steps=env_steps, every=every)


def _setup(
    agent: DQNConfig, launcher: str, seed: int, num_actors: int, num_envs: int
) -> ours.Setup:
    return ours.Setup(
        builder=DQNBuilder(config=agent),
        environment="CartPole-v1",
        topology="actor_learner",
        layout=Layout(num_actors=num_actors, num_envs_per_actor=num_envs),
        launcher=launcher,
        seed=seed,
    )
