"""What every experiment can be told. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acmelike.errors import ConfigError

TopologyName: TypeAlias = Literal["actor_learner", "synchronous", "central_inference"]


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """What every experiment can be told.

    Attributes:
      environment: "Catch", "CartPole-v1-positions" (CartPole without velocities), the
        id of a gymnasium environment, or "module:id" for one that the module registers;
        "vec:" before either of the latter takes its vectorised version, which is faster
        from about eight environments per actor on; "envpool:" before one of EnvPool's.
      max_episode_steps: steps after which episodes are cut off; None for no limit but
        the environment's own.
      frame_stack: how many of its last observations the environment shows together.
      launch: "serial" (one node at a time, reproducible), "threads", or "processes" (an
        interpreter for each node).
      topology: "actor_learner" (nobody waits but at replay), "synchronous" (actors
        collect an unroll with one version of the parameters, the learner consumes
        exactly these; for agents that use each item once), or "central_inference"
        (actors have environments only, and one node acts in all of them in batches).
      num_actors: how many actor nodes.
      num_envs_per_actor: how many environments each actor steps as one vector.
      inference_batch_size: with central inference, environments that are enough for a
        batch and the most of one, in whole actors, at least one; 0 for all of them.
      inference_wait_seconds: with central inference, how long a batch may wait for
        more.
      learner_cpus: cores that the learner may keep busy under "processes"; more than
        one helps large networks only.
      replay_engine: "own", or "reverb" for the tables of a real Reverb server in the
        replay node, which needs `make reverb-env`.
      seed: the seed of everything random in the run; at least 0.
      max_env_steps: the budget in environment steps, over all actors.
      stop_at_return: end as soon as two evaluations in a row reach this mean return;
        None to use up the budget.
      evaluate_every: environment steps between two evaluations.
      num_eval_episodes: episodes in an evaluation.
      out: the folder that the run is recorded in; None for a new one in runs/, named
        after the program and the time.
      live: show a live table where stdout is a terminal, instead of a line every few
        seconds.
      draw: draw the program into this file and start nothing: a picture (.svg), or
        Mermaid text (.mmd, .md).
    """

    environment: str = "CartPole-v1"
    max_episode_steps: int | None = None
    frame_stack: int = 1
    launch: str = "threads"
    topology: TopologyName = "actor_learner"
    num_actors: int = 2
    num_envs_per_actor: int = 4
    inference_batch_size: int = 0
    inference_wait_seconds: float = 0.002
    learner_cpus: int = 1
    replay_engine: Literal["own", "reverb"] = "own"
    seed: int = 0
    max_env_steps: int = 100_000
    stop_at_return: float | None = None
    evaluate_every: int = 1_000
    num_eval_episodes: int = 20
    out: str | None = None
    live: bool = True
    draw: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "frame_stack",
            "num_actors",
            "num_envs_per_actor",
            "max_env_steps",
            "evaluate_every",
            "num_eval_episodes",
            "learner_cpus",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1: {getattr(self, name)}")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise ConfigError(
                f"max_episode_steps must be at least 1: {self.max_episode_steps}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0: {self.seed}")
        if not math.isfinite(self.stop_at_return or 0.0):
            raise ConfigError(f"stop_at_return must be finite: {self.stop_at_return}")
        if self.draw is not None and not self.draw.endswith((".svg", ".mmd", ".md")):
            raise ConfigError(f"draw must end in .svg, .mmd or .md: {self.draw}")
