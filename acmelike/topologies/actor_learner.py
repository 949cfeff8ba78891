"""Actors write replay, a learner reads it, and parameters come back.

    actor/0 ... actor/N-1  --items-->  replay  --batches-->  learner
         ^                                                      |
         +--------------------- parameters ---------------------+

Actors hold the policy. They either go on with the parameters that they have until
there are newer ones, or in lock-step with the learner.
"""

from __future__ import annotations

from acmelike.actors import Actor
from acmelike.agent import ActorPlace, Builder, OnPolicy
from acmelike.environments import EnvironmentFactory
from acmelike.errors import ConfigError
from acmelike.evaluation.coordinator import Goal
from acmelike.graph import Node
from acmelike.topologies.seeds import derive_seed
from acmelike.topologies.system import (
    Backbone,
    Layout,
    System,
    add_evaluation,
    add_replay_and_learner,
)


def make_actor_learner(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    goal: Goal,
    *,
    seed: int,
    metrics: str,
    policy: str | None = None,
) -> System:
    """Joins them asynchronously: nobody waits but at replay. A `Topology`."""
    backbone = add_replay_and_learner(builder, environment_factory, layout, seed=seed)
    _add_actors(backbone, builder, environment_factory, layout, seed=seed)
    return add_evaluation(
        backbone,
        builder,
        environment_factory,
        layout,
        goal,
        seed=seed,
        metrics=metrics,
        policy=policy,
    )


def make_synchronous(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    goal: Goal,
    *,
    seed: int,
    metrics: str,
    policy: str | None = None,
) -> System:
    """Joins them in lock-step. A `Topology`.

    All actors collect an unroll with one version of the parameters, the learner
    consumes exactly these, and the next round begins with what it learned.
    """
    num_envs = layout.num_actors * layout.num_envs_per_actor
    if not isinstance(builder, OnPolicy):
        raise ConfigError(
            f"{builder.name} cannot run in lock-step: it uses items more than once"
        )
    if builder.batch_size != num_envs:
        raise ConfigError(
            f"in lock-step each environment gives one unroll to a batch: "
            f"{builder.name} has batches of {builder.batch_size}, and "
            f"{layout.num_actors} actors of {layout.num_envs_per_actor} environments "
            f"are {num_envs}"
        )
    backbone = add_replay_and_learner(builder, environment_factory, layout, seed=seed)
    _add_actors(
        backbone,
        builder,
        environment_factory,
        layout,
        steps_per_version=builder.unroll_length,
        seed=seed,
    )
    return add_evaluation(
        backbone,
        builder,
        environment_factory,
        layout,
        goal,
        seed=seed,
        metrics=metrics,
        policy=policy,
    )


def _add_actors(
    backbone: Backbone,
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    *,
    steps_per_version: int | None = None,
    seed: int,
) -> None:
    with backbone.program.group("actor"):
        for index in range(layout.num_actors):
            backbone.program.add_node(
                Node(
                    Actor,
                    inputs=builder.make_policy_inputs(
                        backbone.spec,
                        ActorPlace(
                            index=index,
                            num_actors=layout.num_actors,
                            num_envs=layout.num_envs_per_actor,
                        ),
                    ),
                    adder=builder.make_adder(layout.num_envs_per_actor),
                    spec=backbone.spec,
                    environment_factory=environment_factory,
                    num_envs=layout.num_envs_per_actor,
                    replay=backbone.replay,
                    table=backbone.table,
                    learner=backbone.learner,
                    steps_per_version=steps_per_version,
                    seed=derive_seed(seed, f"actor/{index}"),
                )
            )
