"""Actors write replay, a learner reads it, and parameters come back.

    actor/0 ... actor/N-1  --items-->  replay  --batches-->  learner
         ^                                                      |
         +--------------------- parameters ---------------------+

Beside them a coordinator, and an evaluator that it orders evaluations from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from acmelike.actors import Actor, Evaluator
from acmelike.agent import ActorPlace, Builder
from acmelike.coordinator import Coordinator, Goal
from acmelike.environments import EnvironmentFactory, make_environment_spec
from acmelike.errors import ConfigError
from acmelike.graph import Node, Program
from acmelike.learners import Learner
from acmelike.replay import Engine, Replay, check_engine, check_sample_size
from acmelike.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many of what.

    Attributes:
      num_actors: actor nodes.
      num_envs_per_actor: environments that each steps as one vector.
      num_eval_episodes: episodes of an evaluation.
      replay_engine: whose tables replay has.
    """

    num_actors: int
    num_envs_per_actor: int
    num_eval_episodes: int = 20
    replay_engine: Engine = "own"

    def __post_init__(self) -> None:
        for name in ("num_actors", "num_envs_per_actor", "num_eval_episodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1: {getattr(self, name)}")


class ActorLearner(NamedTuple):
    """The program and the handles of its nodes."""

    program: Program
    replay: Replay
    learner: Learner
    coordinator: Coordinator
    actors: tuple[Actor, ...]
    evaluator: Evaluator


def make_actor_learner(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    goal: Goal,
    *,
    seed: int,
    metrics: str,
) -> ActorLearner:
    """Joins the parts of an agent asynchronously; actors hold the policy.

    Args:
      builder: of the agent.
      environment_factory: makes the environments.
      layout: how many actors and environments.
      goal: when the run is over.
      seed: of the program; each node has its own, derived from it and the node's label.
      metrics: the path of the file that records are appended to.

    Raises:
      ConfigError: the agent cannot act in the environment, or the table's rate limiter
        could only deadlock with such batches.
    """
    environment = environment_factory(derive_seed(seed, "spec"))
    spec = make_environment_spec(environment)
    environment.close()
    builder.check(spec)
    table = builder.make_table(spec)
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
    )
    with program.group("actor"):
        actors = [
            program.add_node(
                Node(
                    Actor,
                    builder=builder,
                    spec=spec,
                    environment_factory=environment_factory,
                    place=ActorPlace(
                        index=index,
                        num_actors=layout.num_actors,
                        num_envs=layout.num_envs_per_actor,
                    ),
                    replay=replay,
                    table=table.name,
                    learner=learner,
                    seed=derive_seed(seed, f"actor/{index}"),
                )
            )
            for index in range(layout.num_actors)
        ]
    coordinator = program.add_node(
        Node(
            Coordinator,
            goal=goal,
            replay=replay,
            table=table.name,
            learner=learner,
            metrics=metrics,
        ),
        label="coordinator",
    )
    evaluator = program.add_node(
        Node(
            Evaluator,
            builder=builder,
            spec=spec,
            environment_factory=environment_factory,
            coordinator=coordinator,
            num_episodes=layout.num_eval_episodes,
            seed=derive_seed(seed, "evaluator"),
        ),
        label="evaluator",
    )
    return ActorLearner(program, replay, learner, coordinator, tuple(actors), evaluator)
