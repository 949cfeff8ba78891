"""Actors write to replay, the learner samples from it, and parameters flow back.

    actor/0 ... actor/N-1  --items-->  replay  --batches-->  learner
         ^                                                      |
         +--------------------- parameters ---------------------+

Cachers may be between the learner and the actors. Every actor evaluates the policy
itself. Asynchronous actors use the parameters that they have until newer ones arrive.
Synchronous actors work in lock-step with the learner.
"""

from __future__ import annotations

from acmelike.actors import Actor, LockStep
from acmelike.agent import ActorPlace, OnPolicy
from acmelike.errors import ConfigError
from acmelike.graph import Node, node_seed
from acmelike.graph.elastic import start_ranks
from acmelike.topologies.system import (
    Backbone,
    Experiment,
    System,
    add_cachers,
    add_evaluation,
    add_replay_and_learner,
)


def make_actor_learner(experiment: Experiment) -> System:
    """Makes asynchronous actors and learner; only replay's rate limiter blocks them.

    A `Topology`.
    """
    backbone = add_replay_and_learner(experiment)
    _add_actors(backbone, experiment)
    return add_evaluation(backbone, experiment)


def make_synchronous(experiment: Experiment) -> System:
    """Makes actors and a learner in lock-step, for agents that use each item once.

    All actors collect one unroll with the same version of the parameters. The learner
    consumes exactly these unrolls, and the next round starts with the new version.

    While an actor is restarted, the others wait for it. The new actor learns from
    replay whether the unroll of this round is still missing.

    A `Topology`.
    """
    builder, layout = experiment.builder, experiment.layout
    if not isinstance(builder, OnPolicy):
        raise ConfigError(
            f"{builder.name} cannot run in lock-step: it uses items more than once"
        )
    if builder.batch_size != layout.num_envs:
        raise ConfigError(
            f"in lock-step each environment gives one unroll to a batch: "
            f"{builder.name} has batches of {builder.batch_size}, and "
            f"{layout.num_actors} actors of {layout.num_envs_per_actor} environments "
            f"are {layout.num_envs}"
        )
    if layout.parameter_interval > 1:
        raise ConfigError(
            f"in lock-step actors take every version of the parameters: "
            f"parameter_interval must be 1, got {layout.parameter_interval}"
        )
    layout.check_fixed("in lock-step")
    backbone = add_replay_and_learner(experiment)
    _add_actors(backbone, experiment, unroll_length=builder.unroll_length)
    return add_evaluation(backbone, experiment)


def _add_actors(
    backbone: Backbone, experiment: Experiment, *, unroll_length: int | None = None
) -> None:
    """Adds the actors; with the length of an unroll they work in lock-step."""
    builder, layout = experiment.builder, experiment.layout
    layout.check_no_inference()
    sources = add_cachers(backbone, layout)
    size = layout.num_actors if layout.num_places > layout.num_actors else None
    # The actors that run, however many they are, have equal shares of the cachers.
    ranks = range(layout.num_places) if size is None else start_ranks(layout.num_places)
    with backbone.program.group("actor", size=size):
        for index in range(layout.num_places):
            backbone.program.add_node(
                Node(
                    Actor,
                    inputs=builder.make_policy_inputs(
                        backbone.spec,
                        ActorPlace(
                            index=index,
                            # The actors that run are spread over all places.
                            num_actors=layout.num_places,
                            num_envs=layout.num_envs_per_actor,
                        ),
                    ),
                    adder=experiment.make_adder(),
                    spec=backbone.spec,
                    environment_factory=experiment.environment_factory,
                    num_envs=layout.num_envs_per_actor,
                    replay=backbone.replay,
                    table=backbone.table,
                    parameter_source=sources[ranks[index] % len(sources)],
                    parameter_interval=layout.parameter_interval,
                    lock_step=None
                    if unroll_length is None
                    else LockStep(num_steps=unroll_length, index=index),
                    seed=node_seed(experiment.seed),
                ),
                restart=layout.restart,
            )
