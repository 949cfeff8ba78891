"""acmelike's side of the benchmarks of agents: what is done with any builder.

The programs are those of `python -m programs.NAME`, driven from outside, with
evaluations off.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acmelike import Experiment, Goal, Layout, Run, launch
from acmelike.actors.inference import Inference
from acmelike.agent import Builder
from acmelike.environments import (
    EnvironmentFactory,
    FrameStackFactory,
    StepTimeoutFactory,
    make_environment_factory,
)
from acmelike.policies import make_portable
from acmelike.telemetry.loggers import RecordForwarder, make_loggers
from acmelike.topologies.names import TOPOLOGIES
from acmelike.topologies.system import System
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep
from benchmarks.alone import actors_alone, learner_alone, spec_of
from benchmarks.judge import NUM_EPISODES, mean_returns

NEVER = 10**9  # Environment steps that no run here comes to.


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A program, and how it is launched.

    Attributes:
      builder: of the agent.
      environment: its name.
      topology: by name.
      layout: how many actors and environments.
      launcher: by name.
      seed: of the run.
      num_frames: observations that are shown together.
      evaluate_every: environment steps between evaluations.
      loggers: of its records, by name.
      step_timeout: seconds for a step of an environment; None for no limit.
      settings: more arguments of `launch`.
    """

    builder: Builder
    environment: str
    topology: str
    layout: Layout
    launcher: str
    seed: int
    num_frames: int = 1
    evaluate_every: int = NEVER
    loggers: tuple[str, ...] = ()
    step_timeout: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make_factory(self) -> EnvironmentFactory:
        """Makes the factory of its environments."""
        factory = make_environment_factory(self.environment)
        if self.step_timeout is not None:
            factory = StepTimeoutFactory(inner=factory, seconds=self.step_timeout)
        if self.num_frames == 1:
            return factory
        return FrameStackFactory(inner=factory, num_frames=self.num_frames)

    @contextmanager
    def launched(self) -> Any:
        """The run, and the handles of its nodes, until it is left."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            metrics = folder / "metrics.jsonl"
            experiment = Experiment(
                builder=self.builder,
                environment_factory=self.make_factory(),
                layout=self.layout,
                goal=Goal(max_env_steps=NEVER, evaluate_every=self.evaluate_every),
                seed=self.seed,
                metrics=str(metrics),
            )
            system = TOPOLOGIES[self.topology](experiment)
            loggers = make_loggers(self.loggers, folder, {})
            with RecordForwarder(metrics, loggers):
                with launch(system.program, self.launcher, **self.settings) as run:
                    yield run, system


def throughput(
    setup: Setup, *, first_step: int, last_step: int, seconds_alone: float
) -> dict[str, Any]:
    """Rates in a steady state, and those of actors and learner when each is alone.

    Args:
      setup: the program.
      first_step: the environment steps at which the window begins.
      last_step: and at which it ends.
      seconds_alone: how long actors, and then the learner, are measured alone.
    """
    with setup.launched() as (run, system):
        start = _read(run, system, first_step)
        end = _read(run, system, last_step)
        parameters = run.client(system.learner).parameters().parameters
    environment_factory = setup.make_factory()
    seconds = end["seconds"] - start["seconds"]
    return {
        "env_steps_per_second": (end["env_steps"] - start["env_steps"]) / seconds,
        "updates_per_second": (end["updates"] - start["updates"]) / seconds,
        "env_steps": [start["env_steps"], end["env_steps"]],
        "seconds": seconds,
        "nodes": _shares(start["nodes"], end["nodes"], seconds),
        "env_steps_per_second_of_actors_alone": actors_alone(
            setup.builder,
            environment_factory,
            setup.layout,
            parameters,
            launcher=setup.launcher,
            seconds=seconds_alone,
            seed=setup.seed,
        ),
        "updates_per_second_of_learner_alone": learner_alone(
            setup.builder, spec_of(environment_factory), seconds=seconds_alone
        ),
    }


def rates(
    setup: Setup,
    *,
    first_step: int,
    seconds: float,
    count: Callable[[], Mapping[str, float]] = dict,
) -> dict[str, float]:
    """Environment steps per second in a steady state, as "env_steps".

    Args:
      setup: the program.
      first_step: the environment steps at which the window begins.
      seconds: of the window.
      count: returns what else is counted, by name; that is returned per second, too.
    """
    with setup.launched() as (run, system):
        replay = run.client(system.replay)
        replay.past_env_steps(first_step)
        before = count()
        steps, began = replay.num_env_steps(), time.perf_counter()
        time.sleep(seconds)
        made: dict[str, float] = {"env_steps": replay.num_env_steps() - steps}
        passed = time.perf_counter() - began
        made |= {name: value - before[name] for name, value in count().items()}
    return {name: number / passed for name, number in made.items()}


def learning(setup: Setup, *, env_steps: int, every: int) -> dict[str, Any]:
    """The learning curve; the policies are judged when the clock has stopped."""
    snapshots = []
    with setup.launched() as (run, system):
        replay, learner = run.client(system.replay), run.client(system.learner)
        replay.past_env_steps(1)
        started = time.perf_counter()
        for steps in range(every, env_steps + 1, every):
            steps = replay.past_env_steps(steps)
            snapshots.append((steps, time.perf_counter(), learner.parameters()))
    spec = spec_of(setup.make_factory())
    policies = [
        acting_with(setup.builder, spec, versioned.parameters)
        for _, _, versioned in snapshots
    ]
    return {
        "launcher": setup.launcher,
        "env_steps": [steps for steps, _, _ in snapshots],
        "seconds": [moment - started for _, moment, _ in snapshots],
        "mean_returns": mean_returns(setup.environment, policies, seed=setup.seed),
    }


def acting_with(
    builder: Builder, spec: EnvironmentSpec, parameters: Nested
) -> Callable[[Array], Array]:
    """The greedy policy; it is asked about one episode of each environment."""
    greedy = builder.make_greedy_inputs(spec)
    policy = make_portable(builder, spec, parameters)
    inference = Inference(policy, greedy, spec, num_envs=NUM_EPISODES, seed=0)
    inference.set_parameters(parameters)
    scalars = np.ones(NUM_EPISODES, np.float32)

    def act(observation: Array) -> Array:
        step = VectorStep(scalars.astype(np.int8), scalars, scalars, observation)
        return inference.act(step)[0]

    return act


def _read(run: Run, system: System, env_steps: int) -> dict[str, Any]:
    """Clock and counts at the end of the first call of the learner past `env_steps`."""
    replay, learner = run.client(system.replay), run.client(system.learner)
    replay.past_env_steps(env_steps)
    version = learner.next_parameters(learner.progress().num_updates).version
    return {
        "seconds": time.perf_counter(),
        "env_steps": replay.num_env_steps(),
        "updates": version,
        "nodes": run.status(),
    }


def _shares(
    start: Mapping[str, Any], end: Mapping[str, Any], seconds: float
) -> dict[str, dict[str, float]]:
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
