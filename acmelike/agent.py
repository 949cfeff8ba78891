"""What an agent is: pure functions, and a builder that says how they fit together.

Agents are written against these protocols and know nothing of nodes, edges or
launchers; topologies turn a builder into a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from acmelike.adders import Adder
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec, Nested

# jax.Array, without importing JAX: replay and the graph start without it.
JaxArray: TypeAlias = Any
PRNGKey: TypeAlias = Any
# Of JAX or of NumPy.
AnyArray: TypeAlias = Any


class PolicyOutput(NamedTuple):
    """What a policy makes of an observation of each of K environments.

    Attributes:
      action: `[K, ...]`.
      state: of the policy, `[K, ...]` arrays, for the next observation.
      extras: by name, `[K, ...]` what the adder is told beside the action, such as the
        state before it, its log-probability, or what a first priority is made of.
    """

    action: AnyArray
    state: Nested
    extras: Mapping[str, AnyArray] = {}


class Policy(Protocol):
    """How an agent acts, as pure functions batched over K environments.

    A policy is a hashable value: two that are equal share one compilation.

    Attributes:
      needs_jax: whether `act` wants arrays of JAX. One that takes NumPy's too can act
        without compilation, which is faster for small networks.
    """

    @property
    def needs_jax(self) -> bool: ...

    def init(self, num_envs: int) -> Nested:
        """The policy's state before the first observation; `[K, ...]` arrays.

        Every environment has it again when its next episode begins.
        """

    def noise(self, random: np.random.Generator, num_envs: int) -> Nested:
        """All that is random about one time step of K environments, drawn by NumPy.

        So the same actions follow from the same numbers, whoever evaluates `act`.
        """

    def act(
        self, parameters: Nested, state: Nested, observation: AnyArray, noise: Nested
    ) -> PolicyOutput:
        """Chooses actions.

        Args:
          parameters: of the network, as the learner published them.
          state: what the last call returned.
          observation: `[K, ...]`.
          noise: what `noise` drew for this step.
        """


class UpdateOutputs(NamedTuple):
    """What an update says besides the new state.

    Attributes:
      loss: `[]`, the mean over the call's updates.
      priorities: `[N]`, new ones for the items of the batch, or None.
    """

    loss: JaxArray
    priorities: JaxArray | None


class LearnerCore(Protocol):
    """How an agent learns, as pure functions.

    Attributes:
      needs_jax: whether they are functions of JAX, which the learner compiles. Those of
        another library it calls as they are, with NumPy's arrays; their update may
        change the state in place, as long as `parameters` returns copies.
    """

    @property
    def needs_jax(self) -> bool: ...

    def init(self, key: PRNGKey) -> Nested:
        """The state before the first update.

        Args:
          key: one of JAX's; the seed itself, if JAX is not needed.
        """

    def update(
        self, state: Nested, data: Nested, probabilities: JaxArray
    ) -> tuple[Nested, UpdateOutputs]:
        """Makes `Builder.num_updates_per_batch` updates, one after the other.

        Args:
          state: what the last call returned.
          data: the items, `[N, ...]`.
          probabilities: `[N]`, with which replay drew them.
        """

    def parameters(self, state: Nested) -> Nested:
        """What a policy acts with: arrays of JAX, or of NumPy if JAX is not needed."""


@dataclass(frozen=True, kw_only=True)
class ActorPlace:
    """Which of the program's actors an actor is.

    Attributes:
      index: 0 <= index < num_actors.
      num_actors: in the whole program.
      num_envs: of each actor.
    """

    index: int
    num_actors: int
    num_envs: int


@runtime_checkable
class OnPolicy(Protocol):
    """What a builder says besides, if each of its items is used once.

    Attributes:
      unroll_length: the steps after which the adder completes an item of every
        environment.
    """

    @property
    def unroll_length(self) -> int: ...


class Builder(Protocol):
    """Makes the parts of one agent; itself a picklable value.

    Attributes:
      name: what the agent is called.
      batch_size: items that one call of `LearnerCore.update` takes.
      num_updates_per_batch: updates that one call makes.
    """

    @property
    def name(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def num_updates_per_batch(self) -> int: ...

    def check(self, spec: EnvironmentSpec) -> None:
        """Raises ConfigError, in one line, if the agent cannot act in such a place."""

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """The replay table that actors write and the learner reads."""

    def make_adder(self, num_envs: int) -> Adder:
        """What turns an actor's time steps into items of the table."""

    def make_policy(self, spec: EnvironmentSpec, place: ActorPlace) -> Policy:
        """How an actor acts, exploration included."""

    def make_greedy_policy(self, spec: EnvironmentSpec) -> Policy:
        """How the agent acts when it is judged."""

    def make_learner_core(self, spec: EnvironmentSpec) -> LearnerCore:
        """How the agent learns."""
