"""Actors have environments only; one node acts in all of them, in batches.

    actor/0 ... actor/N-1  --observations-->  requests  --batches-->  inference
             ^                                |      ^                |    |   ^
             +------------ actions -----------+      +--- actions ----+    |   |
                                                                     items |   |
                             learner  <--batches--  replay  <--------------+   |
                                |                                              |
                                +------------------ parameters ----------------+

Espeholt et al. 2020, "SEED RL", arXiv 1910.06591. Parameters and the states of the
policy never leave the inference node. What it waits for is at another node, `requests`,
which shares its process.
"""

from __future__ import annotations

from acmelike.actors.central import EnvironmentWorker, InferenceQueue, InferenceServer
from acmelike.agent import ActorPlace, Builder, PolicyInputs, draw_alike
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


def make_central_inference(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    goal: Goal,
    *,
    seed: int,
    metrics: str,
    policy: str | None = None,
) -> System:
    """Joins them by one node that acts for all. A `Topology`."""
    num_envs = layout.num_actors * layout.num_envs_per_actor
    if layout.inference_batch_size > num_envs:
        raise ConfigError(
            f"inference_batch_size must be at most {num_envs}, the environments of all "
            f"actors: {layout.inference_batch_size}"
        )
    # A request has all environments of an actor: a batch is one of whole actors.
    most_actors = max(layout.inference_batch_size // layout.num_envs_per_actor, 1)
    batch_size = most_actors * layout.num_envs_per_actor
    backbone = add_replay_and_learner(builder, environment_factory, layout, seed=seed)
    inputs = _policy_inputs(backbone, builder, layout)
    with backbone.program.colocate("inference"):
        requests = backbone.program.add_node(
            Node(
                InferenceQueue,
                num_actors=layout.num_actors,
                batch_size=batch_size if layout.inference_batch_size else num_envs,
            ),
            label="requests",
        )
        backbone.program.add_node(
            Node(
                InferenceServer,
                inputs=inputs,
                adder=builder.make_adder(layout.num_envs_per_actor),
                spec=backbone.spec,
                num_envs=layout.num_envs_per_actor,
                requests=requests,
                wait_seconds=layout.inference_wait_seconds,
                replay=backbone.replay,
                table=backbone.table,
                learner=backbone.learner,
                seed=derive_seed(seed, "inference"),
            ),
            label="inference",
        )
    with backbone.program.group("actor"):
        for index in range(layout.num_actors):
            backbone.program.add_node(
                Node(
                    EnvironmentWorker,
                    environment_factory=environment_factory,
                    num_envs=layout.num_envs_per_actor,
                    index=index,
                    requests=requests,
                    seed=derive_seed(seed, f"actor/{index}"),
                )
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


def _policy_inputs(
    backbone: Backbone, builder: Builder, layout: Layout
) -> list[PolicyInputs]:
    """The inputs of each actor, which may differ in their initial states only."""
    inputs = [
        builder.make_policy_inputs(
            backbone.spec,
            ActorPlace(
                index=index,
                num_actors=layout.num_actors,
                num_envs=layout.num_envs_per_actor,
            ),
        )
        for index in range(layout.num_actors)
    ]
    if not draw_alike(inputs):
        raise ConfigError(
            f"{builder.name} cannot run with central inference: its actors' policies "
            "differ in more than their initial states"
        )
    return inputs
