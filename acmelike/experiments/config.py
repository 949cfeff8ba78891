"""The flags of every training program. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from acmelike.checks import above, at_least, check_fields
from acmelike.errors import ConfigError, first_line
from acmelike.evaluation.goal import Goal
from acmelike.evaluation.video import VideoSettings
from acmelike.graph.resources import parse_place
from acmelike.topologies.layout import Layout
from acmelike.topologies.rewards import RewardSettings

TopologyName: TypeAlias = Literal["actor_learner", "synchronous", "central_inference"]

A = TypeVar("A")

_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """The flags that choose an environment.

    Attributes:
      environment: "Catch", "CartPole-v1-positions" (CartPole without velocities), the
        id of a gymnasium environment, as "ALE/Pong-v5", or "module:id" for one that the
        module registers; "vec:" before either of these takes its vectorised version,
        which is faster from about eight environments per actor on;
        "dm_control:cheetah-run" and other tasks of dm_control; "envpool:" before one of
        EnvPool's; or "module:name" for your own, a class or a function that makes
        environments of Gymnasium or dm_env.
      environment_kwargs: arguments of the environment's constructor, as KEY=VALUE, such
        as continuous=false.
      max_episode_steps: steps after which episodes are cut off; None for no limit but
        the environment's own, which this can only shorten.
      frame_stack: how many of the last observations are stacked into one; None for 4
        with games of Atari, otherwise 1.
      action_mask_from_info: put the "action_mask" of an environment's info into the
        observation, so that the agent only takes actions that it allows. For discrete
        actions of environments of Gymnasium, such as Taxi-v4.
      step_timeout: seconds after which a step or a reset of an environment that has not
        returned counts as failed. Each environment then has a thread of its own, where
        it can install no signal handlers. None for no limit.
      restart_environments: how often each actor, and the evaluator, replaces an
        environment that has failed. Its unfinished episode is dropped.
    """

    environment: str = "CartPole-v1"
    environment_kwargs: tuple[str, ...] = ()
    max_episode_steps: Annotated[int, at_least(1)] | None = None
    frame_stack: Annotated[int, at_least(1)] | None = None
    action_mask_from_info: bool = False
    step_timeout: Annotated[float, above(0)] | None = None
    restart_environments: Annotated[int, at_least(0)] = 0


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Goal, Layout, EnvironmentConfig, Generic[A]):
    """The flags of every training program.

    Attributes:
      launch: "serial" (one node at a time, reproducible), "threads", "processes" (an
        interpreter for each node), "hosts" (processes on several hosts: start the same
        command on each of them), or "ray" (processes on the hosts of a Ray cluster).
      hosts: with "hosts", how many hosts there are; None for what Slurm or MPI says.
      rank: with "hosts", the number of this host, from 0 on; None for what Slurm, MPI
        or Kubernetes says.
        The host of rank 0 launches and records the run, the others take processes.
      rendezvous: with "hosts", where the host of rank 0 listens, as HOST:PORT.
      secret_file: with "hosts", the file of a secret that all hosts know; None for the
        variable ACMELIKE_SECRET.
      host_labels: with "hosts", labels of this host, as KEY=VALUE.
      ray_address: with "ray", the cluster, as HOST:PORT or "auto"; None for that of
        RAY_ADDRESS, or for a Ray on this host that ends with the run.
      ray_send: with "ray" and a cluster, whether the working directory is sent to its
        hosts.
      place: what groups or nodes need of their hosts, and which they prefer, such as
        "actor=spread,cpus:0.5" or "replay=memory:8GB,label:zone=a". NAME= is followed
        by spread, pack, launcher, cpus:N, gpus:N, memory:N[GB] or label:KEY=VALUE.
      topology: "actor_learner" (asynchronous; only replay's rate limiter blocks actors
        and learner), "synchronous" (actors collect an unroll with one version of the
        parameters, the learner consumes exactly these; for agents that use each item
        once), or "central_inference" (actors have environments only, and one node
        chooses their actions in batches).
      seed: the seed of everything random in the run; at least 0.
      out: the folder that the run is recorded in; None for a new one in runs/, named
        after the program and the time.
      keep_best: also store the best policy. A policy with a better evaluation counts as
        the best only if a second evaluation, on other episodes, is better too.
      log: what else the records of metrics.jsonl are written to: "csv", "tensorboard",
        "wandb" (Weights & Biases), or several of these.
      live: show a live table where stdout is a terminal, instead of a line every few
        seconds.
      draw: draw the program into this file and start nothing: a picture (.svg), or
        Mermaid text (.mmd, .md).
      rewards: what is done to rewards before the agent learns from them.
      video: which evaluations have a video.
      agent: settings of the agent.
    """

    launch: str = "threads"
    hosts: int | None = None
    rank: int | None = None
    rendezvous: str | None = None
    secret_file: str | None = None
    host_labels: tuple[str, ...] = ()
    ray_address: str | None = None
    ray_send: bool = True
    place: tuple[str, ...] = ()
    topology: TopologyName = "actor_learner"
    seed: Annotated[int, at_least(0)] = 0
    out: str | None = None
    keep_best: bool = False
    log: tuple[str, ...] = ()
    live: bool = True
    draw: str | None = None
    rewards: RewardSettings = field(default_factory=RewardSettings)
    video: VideoSettings = field(default_factory=VideoSettings)
    agent: A

    def __post_init__(self) -> None:
        check_fields(self)
        parse_kwargs(self.environment_kwargs)
        for text in self.place:
            parse_place(text)
        if self.draw is not None and not self.draw.endswith((".svg", ".mmd", ".md")):
            raise ConfigError(f"draw must end in .svg, .mmd or .md: {self.draw}")


def parse_kwargs(texts: Iterable[str]) -> dict[str, Any]:
    """The arguments of an environment's constructor, each given as KEY=VALUE.

    A value is a literal of Python, such as 0.5, true or [1, 2]; any other is a text.

    Raises:
      ConfigError: an argument has another form, or Python cannot read its value.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(
                "environment_kwargs must be KEY=VALUE, such as continuous=false: "
                f"{text}"
            )
        if value.lower() in _WORDS:
            found[key] = _WORDS[value.lower()]
            continue
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
        except (TypeError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"environment_kwargs: the value of {key} cannot be read: "
                f"{first_line(error)}"
            ) from error
    return found
