"""What the parts of an agent reach when nothing else runs: the limits of a program.

A whole program cannot act faster than its actors do when their data is thrown away, nor
learn faster than its update does on one batch that is always the same.
"""

from __future__ import annotations

import time

import jax
import numpy as np

from acmelike import Node, Program, launch
from acmelike.actors.inference import Inference
from acmelike.agent import ActorPlace, Builder
from acmelike.environments import (
    EnvironmentFactory,
    make_environment_spec,
    make_vector_environment,
)
from acmelike.policies import make_portable
from acmelike.topologies.layout import Layout
from acmelike.types import EnvironmentSpec, Nested


class ActorAlone:
    """A worker; each step is that of an actor, without an edge: its data is dropped.

    Args:
      builder: of the agent.
      environment_factory: makes the environments.
      place: which actor it is, and how many environments it has.
      parameters: to act with; good ones, as bad ones begin a new episode more often.
      seed: of environments and exploration.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        environment_factory: EnvironmentFactory,
        place: ActorPlace,
        parameters: Nested,
        seed: int,
    ):
        num_envs = place.num_envs
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        spec = self._environment.spec
        policy = make_portable(builder, spec, parameters)
        inputs = builder.make_policy_inputs(spec, place)
        self._inference = Inference(policy, inputs, spec, num_envs=num_envs, seed=seed)
        self._inference.set_parameters(parameters)
        self._adder = builder.make_adder(num_envs)
        self._now = self._environment.reset()
        self._adder.start(self._now)
        self._num_env_steps = 0

    def num_env_steps(self) -> int:
        """The steps taken so far."""
        return self._num_env_steps

    def step(self) -> None:
        """Acts once in every environment."""
        action, extras = self._inference.act(self._now)
        self._now = self._environment.step(action)
        self._adder.add(action, 0, self._now, extras)
        self._num_env_steps += self._now.num_env_steps()

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()


def actors_alone(
    builder: Builder,
    environment_factory: EnvironmentFactory,
    layout: Layout,
    parameters: Nested,
    *,
    launcher: str,
    seconds: float,
    seed: int,
) -> float:
    """Environment steps per second of all actors under a launcher."""
    program = Program("actors alone")
    with program.group("actor"):
        actors = [
            program.add_node(
                Node(
                    ActorAlone,
                    builder=builder,
                    environment_factory=environment_factory,
                    place=ActorPlace(
                        index=index,
                        num_actors=layout.num_actors,
                        num_envs=layout.num_envs_per_actor,
                    ),
                    parameters=parameters,
                    seed=seed + index,
                )
            )
            for index in range(layout.num_actors)
        ]
    with launch(program, launcher) as run:
        clients = [run.client(actor) for actor in actors]
        # Past the compilation in the first step of each, and its first episodes.
        while min(client.num_env_steps() for client in clients) < 1_000:
            time.sleep(0.1)
        started = time.perf_counter()
        before = sum(client.num_env_steps() for client in clients)
        time.sleep(seconds)
        after = sum(client.num_env_steps() for client in clients)
        return (after - before) / (time.perf_counter() - started)


def learner_alone(builder: Builder, spec: EnvironmentSpec, *, seconds: float) -> float:
    """Updates per second of the jitted update on one batch that is on the device."""
    core, size = builder.make_agent(spec), builder.batch_size
    # As the learner makes it: compiled, which also decides the types of its leaves.
    update, state = jax.jit(core.update), jax.jit(core.init)(jax.random.key(0))
    signature, rng = builder.make_table(spec).signature, np.random.default_rng(0)
    data, probabilities = jax.device_put(
        (
            # As CartPole's transitions: small numbers, actions 0 and 1.
            jax.tree.map(
                lambda leaf: rng.integers(2, size=(size, *leaf.shape)).astype(
                    leaf.dtype
                ),
                signature,
            ),
            np.full(size, 1 / size),
        )
    )
    num_calls, key = 0, jax.random.key(0)
    state, _ = jax.block_until_ready(
        update(state, data, probabilities, key)
    )  # Compiles.
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(4):  # The device never waits for Python.
            state, _ = update(state, data, probabilities, key)
            num_calls += 1
        jax.block_until_ready(state)
    rate = num_calls / (time.perf_counter() - started)
    return rate * builder.num_updates_per_call


def spec_of(environment_factory: EnvironmentFactory) -> EnvironmentSpec:
    """The spec of an environment that is made for it."""
    environment = environment_factory(0)
    spec = make_environment_spec(environment)
    environment.close()
    return spec
