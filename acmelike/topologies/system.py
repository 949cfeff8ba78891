"""What every topology has: replay, a learner, and those who judge it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from acmelike.agent import Builder, check_builder, check_items
from acmelike.environments import EnvironmentFactory, make_environment_spec
from acmelike.errors import ConfigError
from acmelike.evaluation import Evaluator
from acmelike.evaluation.coordinator import Coordinator, Goal
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.graph import Node, Program
from acmelike.learners import Learner
from acmelike.replay import (
    Engine,
    Replay,
    TableConfig,
    check_engine,
    check_sample_size,
)
from acmelike.topologies.seeds import derive_seed
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many of what.

    Attributes:
      num_actors: actor nodes.
      num_envs_per_actor: environments that each steps as one vector.
      num_eval_episodes: episodes of an evaluation.
      learner_cpus: cores that the learner may keep busy where it has its own process.
      replay_engine: whose tables replay has.
      inference_batch_size: with central inference, environments that are enough for a
        batch and the most of one, in whole actors, at least one; 0 for all of them.
      inference_wait_seconds: with central inference, how long a batch may wait for
        more.
    """

    num_actors: int
    num_envs_per_actor: int
    num_eval_episodes: int = 20
    learner_cpus: int = 1
    replay_engine: Engine = "own"
    inference_batch_size: int = 0
    inference_wait_seconds: float = 0.002

    def __post_init__(self) -> None:
        for name in (
            *("num_actors", "num_envs_per_actor", "num_eval_episodes"),
            "learner_cpus",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1: {getattr(self, name)}")
        if self.inference_batch_size < 0:
            raise ConfigError(
                f"inference_batch_size must be at least 0: {self.inference_batch_size}"
            )
        if not 0 <= self.inference_wait_seconds < math.inf:
            raise ConfigError(
                "inference_wait_seconds must be finite and at least 0: "
                f"{self.inference_wait_seconds}"
            )


class System(NamedTuple):
    """A program and the handles of those nodes that every topology has."""

    program: Program
    replay: Replay
    learner: Learner
    coordinator: Coordinator
    evaluator: Evaluator


class Topology(Protocol):
    """Joins the parts of an agent to a program."""

    def __call__(
        self,
        builder: Builder,
        environment_factory: EnvironmentFactory,
        layout: Layout,
        goal: Goal,
        *,
        seed: int,
        metrics: str,
        policy: str | None = None,
    ) -> System:
        """Makes the program; starts nothing.

        Args:
          builder: of the agent.
          environment_factory: makes the environments.
          layout: how many actors and environments.
          goal: when the run is over.
          seed: of the program; each node has its own, derived from it and the node's
            label.
          metrics: the path of the file that records are appended to.
          policy: the path of the file that the policy is left in; None for none.

        Raises:
          ConfigError: the agent cannot act in the environment or does not fit the
            topology, or the table's rate limiter could only deadlock with such batches.
        """


class Backbone(NamedTuple):
    """The beginning of a program: replay and the learner.

    Attributes:
      program: with these two nodes.
      spec: of the environments.
      table: that actors write and the learner reads.
      replay: the handle of the one.
      learner: the handle of the other.
    """

    program: Program
    spec: EnvironmentSpec
    table: TableConfig
    replay: Replay
    learner: Learner


def add_replay_and_learner(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    *,
    seed: int,
) -> Backbone:
    """Makes a program with replay and a learner; see `Topology` for the arguments."""
    environment = environment_factory(derive_seed(seed, "spec"))
    spec = make_environment_spec(environment)
    environment.close()
    check_builder(builder)
    builder.check(spec)
    table = builder.make_table(spec)
    check_items(table, builder.name)
    check_sample_size(table, builder.batch_size)
    check_engine(layout.replay_engine, [table])

    program = Program(builder.name)
    replay = program.add_node(
        Node(
            Replay,
            [table],
            seed=derive_seed(seed, "replay"),
            engine=layout.replay_engine,
        ),
        label="replay",
    )
    learner = program.add_node(
        Node(
            Learner,
            builder=builder,
            spec=spec,
            replay=replay,
            table=table.name,
            seed=derive_seed(seed, "learner"),
        ),
        label="learner",
        num_cpus=layout.learner_cpus,
    )
    return Backbone(program, spec, table, replay, learner)


def add_evaluation(
    backbone: Backbone,
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    goal: Goal,
    *,
    seed: int,
    metrics: str,
    policy: str | None,
) -> System:
    """Adds a coordinator, and an evaluator that it orders evaluations from."""
    policy_file, inputs = None, builder.make_greedy_inputs(backbone.spec)
    if policy is not None:
        policy_file = PolicyFile(
            path=policy,
            agent=builder.name,
            inputs=inputs,
            spec=backbone.spec,
            environment_factory=environment_factory,
        )
    coordinator = backbone.program.add_node(
        Node(
            Coordinator,
            goal=goal,
            replay=backbone.replay,
            table=backbone.table.name,
            learner=backbone.learner,
            metrics=metrics,
            policy_file=policy_file,
        ),
        label="coordinator",
    )
    evaluator = backbone.program.add_node(
        Node(
            Evaluator,
            inputs=inputs,
            spec=backbone.spec,
            environment_factory=environment_factory,
            coordinator=coordinator,
            num_episodes=layout.num_eval_episodes,
            seed=derive_seed(seed, "evaluator"),
        ),
        label="evaluator",
    )
    return System(
        backbone.program, backbone.replay, backbone.learner, coordinator, evaluator
    )
