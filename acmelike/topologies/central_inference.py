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

from acmelike.actors import CentralInference, EnvironmentActor, Requests
from acmelike.agent import ActorPlace, Builder
from acmelike.coordinator import Goal
from acmelike.environments import EnvironmentFactory
from acmelike.errors import ConfigError
from acmelike.graph import Node
from acmelike.seeds import derive_seed
from acmelike.topologies.system import Core, Layout, System, begin, finish


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
    core = begin(builder, environment_factory, layout, seed=seed)
    _check_policies(core, builder, layout)
    with core.program.colocate("inference"):
        requests = core.program.add_node(
            Node(
                Requests,
                num_actors=layout.num_actors,
                batch_size=batch_size if layout.inference_batch_size else num_envs,
            ),
            label="requests",
        )
        core.program.add_node(
            Node(
                CentralInference,
                builder=builder,
                spec=core.spec,
                num_actors=layout.num_actors,
                num_envs=layout.num_envs_per_actor,
                requests=requests,
                wait_seconds=layout.inference_wait_seconds,
                replay=core.replay,
                table=core.table,
                learner=core.learner,
                seed=derive_seed(seed, "inference"),
            ),
            label="inference",
        )
    with core.program.group("actor"):
        for index in range(layout.num_actors):
            core.program.add_node(
                Node(
                    EnvironmentActor,
                    environment_factory=environment_factory,
                    num_envs=layout.num_envs_per_actor,
                    index=index,
                    requests=requests,
                    seed=derive_seed(seed, f"actor/{index}"),
                )
            )
    return finish(
        core,
        builder,
        environment_factory,
        layout,
        goal,
        seed=seed,
        metrics=metrics,
        policy=policy,
    )


def _check_policies(core: Core, builder: Builder, layout: Layout) -> None:
    """One evaluation serves actors whose policies differ in their states only."""
    places = (
        ActorPlace(
            index=index,
            num_actors=layout.num_actors,
            num_envs=layout.num_envs_per_actor,
        )
        for index in range(layout.num_actors)
    )
    if len({builder.make_policy(core.spec, place) for place in places}) > 1:
        raise ConfigError(
            f"{builder.name} cannot run with central inference: its actors' policies "
            "differ in more than their initial states"
        )
