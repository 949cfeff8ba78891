"""Actors only step environments; one node chooses actions for all of them, in batches.

    actor/0 ... actor/N-1  --observations-->  requests  --batches-->  inference
             ^                                |      ^                |    |   ^
             +------------ actions -----------+      +--- actions ----+    |   |
                                                                     items |   |
                             learner  <--batches--  replay  <--------------+   |
                                |                                              |
                                +------------------ parameters ----------------+

Espeholt et al. 2020, "SEED RL", arXiv 1910.06591. Parameters and the policy's states
stay in the inference node. The requests that it waits for are queued in another node,
`requests`, which shares its process.
"""

from __future__ import annotations

from acmelike.actors.central import EnvironmentWorker, InferenceQueue, InferenceServer
from acmelike.agent import ActorPlace, Builder, PolicyInputs, draw_alike
from acmelike.errors import ConfigError
from acmelike.graph import Node, Resources, node_seed
from acmelike.topologies.layout import Layout
from acmelike.topologies.system import (
    Backbone,
    Experiment,
    System,
    add_evaluation,
    add_replay_and_learner,
)


def make_central_inference(experiment: Experiment) -> System:
    """Makes one node that evaluates the policy for the environments of all actors.

    A `Topology`.
    """
    builder, layout = experiment.builder, experiment.layout
    batch_size = _batch_size(layout)
    if layout.num_cachers:
        raise ConfigError(
            f"with central inference one node takes the parameters: num_cachers must "
            f"be 0, got {layout.num_cachers}"
        )
    layout.check_fixed("with central inference")
    backbone = add_replay_and_learner(experiment)
    inputs = _policy_inputs(backbone, builder, layout)
    with backbone.program.colocate("inference"):
        requests = backbone.program.add_node(
            Node(InferenceQueue, num_actors=layout.num_actors, batch_size=batch_size),
            label="requests",
        )
        backbone.program.add_node(
            Node(
                InferenceServer,
                inputs=inputs,
                adder=experiment.make_adder(),
                spec=backbone.spec,
                num_envs=layout.num_envs_per_actor,
                requests=requests,
                wait_seconds=layout.inference_wait_seconds,
                replay=backbone.replay,
                table=backbone.table,
                learner=backbone.learner,
                parameter_interval=layout.parameter_interval,
                seed=node_seed(experiment.seed),
            ),
            label="inference",
            resources=Resources(num_gpus=None),
        )
    with backbone.program.group("actor"):
        for index in range(layout.num_actors):
            backbone.program.add_node(
                Node(
                    EnvironmentWorker,
                    environment_factory=experiment.environment_factory,
                    num_envs=layout.num_envs_per_actor,
                    index=index,
                    requests=requests,
                    seed=node_seed(experiment.seed),
                ),
                restart=layout.restart,
            )
    return add_evaluation(backbone, experiment)


def _batch_size(layout: Layout) -> int:
    """How many environments complete a batch: those of one or more whole actors."""
    wanted = layout.inference_batch_size or layout.num_envs
    if wanted > layout.num_envs:
        raise ConfigError(
            f"inference_batch_size must be at most {layout.num_envs}, the environments "
            f"of all actors: {wanted}"
        )
    # One request has the observations of all environments of an actor.
    num_actors = max(wanted // layout.num_envs_per_actor, 1)
    return num_actors * layout.num_envs_per_actor


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
