"""acmelike's side of the DQN benchmark; every function here is a trial.

Throughput is taken at the settings of SBX's zoo, learning at the program's own. Both
drive the program of `python -m programs.dqn` from outside, with evaluations off.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

# As the programs do: small networks gain nothing from XLA's own threads.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

from acmelike import Run, launch
from acmelike.actors.inference import Inference
from acmelike.coordinator import Goal
from acmelike.environments import make_environment_factory
from acmelike.topologies import Layout, System, make_actor_learner
from agents.dqn.builder import DQNBuilder
from agents.dqn.config import DQNConfig
from benchmarks.alone import actors_alone, learner_alone, spec_of
from benchmarks.judge import NUM_EPISODES, mean_returns
from programs.dqn import Config

ENVIRONMENT = "CartPole-v1"
NEVER = 10**9  # Environment steps that no run here comes to.
# The zoo's settings in acmelike's words. SBX copies the target network every 10 steps,
# but learns in bursts of 128 updates between steps, so it changes once for each burst.
ZOO = DQNConfig(
    hidden_sizes=(256, 256),
    double=False,
    dueling=False,
    n_step=1,
    prioritized=False,
    learning_rate=2.3e-3,
    final_learning_rate_fraction=1.0,
    batch_size=64,
    num_updates_per_call=128,
    target_update_period=128,
    replay_size=100_000,
    min_replay_size=1_000,
    samples_per_insert=32.0,
)
DEFAULTS = Config()


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
      first_step: the environment steps at which the window begins.
      last_step: and at which it ends.
      seconds_alone: how long actors, and then the learner, are measured alone.
      num_actors: in the program, and of actors alone.
      num_envs_per_actor: the same.
    """
    builder = DQNBuilder(config=ZOO)
    layout = Layout(num_actors=num_actors, num_envs_per_actor=num_envs_per_actor)
    system, scratch = _make(builder, layout, seed)
    with scratch, launch(system.program, launcher) as run:
        start = _read(run, system, first_step)
        end = _read(run, system, last_step)
        parameters = run.client(system.learner).parameters().parameters
    environment_factory = make_environment_factory(ENVIRONMENT)
    seconds = end["seconds"] - start["seconds"]
    return {
        "env_steps_per_second": (end["env_steps"] - start["env_steps"]) / seconds,
        "updates_per_second": (end["updates"] - start["updates"]) / seconds,
        "env_steps": [start["env_steps"], end["env_steps"]],
        "seconds": seconds,
        "nodes": _shares(start["nodes"], end["nodes"], seconds),
        "env_steps_per_second_of_actors_alone": actors_alone(
            builder,
            environment_factory,
            layout,
            parameters,
            launcher=launcher,
            seconds=seconds_alone,
            seed=seed,
        ),
        "updates_per_second_of_learner_alone": learner_alone(
            builder, spec_of(environment_factory), seconds=seconds_alone
        ),
    }


def learning(*, seed: int, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve at the program's own settings, with its own launcher.

    The policies are judged when the clock has stopped.
    """
    builder = DQNBuilder(config=DEFAULTS.agent)
    layout = Layout(
        num_actors=DEFAULTS.num_actors, num_envs_per_actor=DEFAULTS.num_envs_per_actor
    )
    (system, scratch), snapshots = _make(builder, layout, seed), []
    with scratch, launch(system.program, DEFAULTS.launch) as run:
        replay, learner = run.client(system.replay), run.client(system.learner)
        replay.past_env_steps(1)
        started = time.perf_counter()
        for steps in range(every, env_steps + 1, every):
            steps = replay.past_env_steps(steps)
            snapshots.append((steps, time.perf_counter(), learner.parameters()))
    spec = spec_of(make_environment_factory(ENVIRONMENT))

    def acting_with(parameters: Any) -> Any:
        policy = builder.make_greedy_policy(spec)
        inference = Inference(policy, spec, num_envs=NUM_EPISODES, seed=seed)
        inference.set_parameters(parameters)
        return inference.act

    policies = [acting_with(versioned.parameters) for _, _, versioned in snapshots]
    return {
        "launcher": DEFAULTS.launch,
        "env_steps": [steps for steps, _, _ in snapshots],
        "seconds": [moment - started for _, moment, _ in snapshots],
        "mean_returns": mean_returns(ENVIRONMENT, policies, seed=seed),
    }


def _make(
    builder: DQNBuilder, layout: Layout, seed: int
) -> tuple[System, tempfile.TemporaryDirectory[str]]:
    """The program, without an end and without evaluations; and where it records."""
    scratch = tempfile.TemporaryDirectory()
    system = make_actor_learner(
        builder,
        make_environment_factory(ENVIRONMENT),
        layout,
        Goal(max_env_steps=NEVER, evaluate_every=NEVER),
        seed=seed,
        metrics=str(Path(scratch.name) / "metrics.jsonl"),
    )
    return system, scratch


def _read(run: Run, system: System, env_steps: int) -> dict[str, Any]:
    """Clock and counts at the end of the first burst of updates past `env_steps`."""
    replay, learner = run.client(system.replay), run.client(system.learner)
    replay.past_env_steps(env_steps)
    version = learner.next_parameters(learner.progress().num_updates).version
    return {
        "seconds": time.perf_counter(),
        "env_steps": replay.num_env_steps(),
        "updates": version,
        "nodes": run.status(),
    }


def _shares(start: Any, end: Any, seconds: float) -> dict[str, dict[str, float]]:
    """The share of a window that each node worked, and waited for what."""
    shares = {}
    for label, node in end.items():
        before = start[label]
        worked = (node.worked_seconds - before.worked_seconds) / seconds
        shares[label] = {"works": round(worked, 4)}
        for target, total in node.waited_seconds.items():
            waited = (total - before.waited_seconds.get(target, 0.0)) / seconds
            shares[label][f"waits for {target}"] = round(waited, 4)
    return shares
