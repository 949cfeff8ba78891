"""What an agent is: pure functions, and a builder that makes what a program needs.

Agents are written against these protocols. They know nothing of nodes, edges or
launchers; a topology turns a builder into a program.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import cloudpickle
import numpy as np

from acmelike.adders import Adder
from acmelike.errors import ConfigError, ContractError
from acmelike.lazy import importing_much
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec, Nested

# jax.Array, without importing JAX: actors, replay and the graph start without it.
JaxArray: TypeAlias = Any
PRNGKey: TypeAlias = Any


class PolicyOutput(NamedTuple):
    """The result of `Agent.act` for K environments.

    Attributes:
      action: `[K, ...]`.
      state: `[K, ...]` arrays, the state for the next observation.
      extras: by name, `[K, ...]`. They go to the adder with the action: the state
        before the action, its log-probability, or the parts of a first priority.
    """

    action: JaxArray
    state: Nested
    extras: Mapping[str, JaxArray] = {}


class UpdateOutputs(NamedTuple):
    """The result of `Agent.update` besides the new state.

    Attributes:
      loss: `[]`, the mean over the updates of the call.
      priorities: `[N]`, new priorities of the batch's items; None leaves them.
      metrics: by name, `[]`, any other numbers to show and record.
    """

    loss: JaxArray
    priorities: JaxArray | None = None
    metrics: Mapping[str, JaxArray] = {}


class Agent(Protocol):
    """An algorithm as pure functions. It lives at the learner.

    `act` is written once, in `jax.numpy`. The learner traces it and sends it to the
    actors as the text of a NumPy function, so that actors need no JAX; where NumPy
    would be slower, or cannot do it, actors compile `act` itself.

    Attributes:
      needs_jax: whether the functions are JAX's, which the learner compiles. Those of
        another library are called as they are, with NumPy arrays: `update` may then
        change the state in place, if `parameters` returns copies; and actors call
        `act` itself, which must be written in NumPy.
    """

    @property
    def needs_jax(self) -> bool: ...

    def init(self, key: PRNGKey) -> Nested:
        """Returns the training state before the first update.

        Args:
          key: a key of JAX; an integer if JAX is not needed, as for `update`.
        """

    def update(
        self, state: Nested, data: Nested, probabilities: JaxArray, key: PRNGKey
    ) -> tuple[Nested, UpdateOutputs]:
        """Makes `Builder.num_updates_per_call` updates, one after the other.

        Args:
          state: the training state.
          data: items of the table, `[N, ...]`.
          probabilities: `[N]`, with which replay sampled them.
          key: for random numbers; another one for every call.

        Returns:
          The next training state, of the same shapes and types, and the outputs.
        """

    def parameters(self, state: Nested) -> Nested:
        """Returns the part of the training state that `act` needs."""

    def act(
        self, parameters: Nested, state: Nested, observation: JaxArray, noise: Nested
    ) -> PolicyOutput:
        """Chooses actions for K environments.

        Args:
          parameters: as `parameters` returned them.
          state: from the last call, or from `PolicyInputs.init`.
          observation: `[K, ...]`.
          noise: random numbers from `PolicyInputs.noise`.
        """


def check_output(output: Any) -> PolicyOutput:
    """Returns what an agent's `act` returned.

    Raises:
      ContractError: it is no `PolicyOutput`.
    """
    if isinstance(output, PolicyOutput):
        return output
    raise ContractError(
        "act must return PolicyOutput(action, state), not "
        f"{type(output).__name__}: put the actions into one"
    )


def no_state(num_envs: int) -> Nested:
    """The state of a policy that has none."""
    return ()


def no_noise(random: np.random.Generator, num_envs: int) -> Nested:
    """The noise of a policy that draws nothing."""
    return ()


@dataclass(frozen=True, kw_only=True)
class PolicyInputs:
    """How one actor explores: the inputs of `Agent.act` that differ between actors.

    An evaluation has other inputs than an actor, such as an epsilon of zero. They are
    sent to actors, so both are picklable functions of modules that import no JAX.

    Attributes:
      init: from a number of environments K to the state `[K, ...]` in which each
        episode starts, arrays of NumPy.
      noise: from a generator and K to all random numbers of one time step. So equal
        random numbers give equal actions, in NumPy as in JAX.
    """

    init: Callable[[int], Nested] = no_state
    noise: Callable[[np.random.Generator, int], Nested] = no_noise


def draw_alike(inputs: Sequence[PolicyInputs]) -> bool:
    """Whether the random numbers of all are those of the first."""
    # Functions that do the same need not be equal, but their pickles are.
    return len({cloudpickle.dumps(one.noise) for one in inputs}) <= 1


@dataclass(frozen=True, kw_only=True)
class ActorPlace:
    """Which actor of the program an actor is.

    Attributes:
      index: 0 <= index < num_actors.
      num_actors: in the whole program.
      num_envs: environments of each actor.
    """

    index: int
    num_actors: int
    num_envs: int


@runtime_checkable
class OnPolicy(Protocol):
    """A builder whose items are used once each.

    Attributes:
      unroll_length: the steps after which the adder completes an item of every
        environment.
    """

    @property
    def unroll_length(self) -> int: ...


class Builder(Protocol):
    """Makes the parts of one agent; itself a picklable value.

    Only `make_agent` may import JAX.

    Attributes:
      name: of the agent.
      batch_size: items that one call of `Agent.update` takes.
      num_updates_per_call: updates that one call makes.
    """

    @property
    def name(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def num_updates_per_call(self) -> int: ...

    def check(self, spec: EnvironmentSpec) -> None:
        """Checks that the agent can act in such an environment.

        Raises:
          ConfigError: it cannot; in one line.
        """

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """Makes the replay table that actors write and the learner reads.

        The learner itself reads two fields of an item, so its signature is a named
        tuple with

        - `version`: `[]` or `[T]` integers, the version of the parameters that chose
          the action or actions;
        - `mask`: `[T]`, one where an action was taken; only if `version` is `[T]`.
        """

    def make_adder(self, num_envs: int) -> Adder:
        """Makes what turns an actor's time steps into items of the table."""

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        """Makes the exploration of one actor."""

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        """Makes the inputs with which the agent acts when it is evaluated."""

    def make_agent(self, spec: EnvironmentSpec) -> Agent:
        """Makes the functions of the algorithm; called at the learner."""


def import_agent(factory: str, config: Any, spec: EnvironmentSpec) -> Agent:
    """Makes an agent by a function that is imported only now, as it imports JAX.

    Args:
      factory: "module:function"; the function takes the next two.
      config: the agent's settings.
      spec: of the environments.
    """
    module, _, name = factory.partition(":")
    with importing_much():
        make = getattr(importlib.import_module(module), name)
    agent: Agent = make(config, spec)
    return agent


def check_builder(builder: Any) -> None:
    """Checks that a builder has all that `Builder` asks for.

    Raises:
      ConfigError: it lacks something; in one line.
    """
    wanted = [name for name in vars(Builder) if not name.startswith("_")]
    missing = [name for name in wanted if not hasattr(builder, name)]
    if missing:
        kind = builder.__name__ if isinstance(builder, type) else type(builder).__name__
        raise ConfigError(
            f"{kind} has no '{missing[0]}', which acmelike.agent.Builder asks for"
        )


def check_items(table: TableConfig, agent: str) -> None:
    """Checks that items have the fields that the learner reads; see `make_table`.

    Raises:
      ConfigError: one is missing or of another shape; the message names the agent.
    """
    signature = table.signature
    version, mask = (getattr(signature, name, None) for name in ("version", "mask"))
    if version is None:
        raise ConfigError(
            f"{agent}: items of table '{table.name}' need a field 'version', which "
            "tells the learner how old they are"
        )
    if len(version.shape) > 1:
        raise ConfigError(
            f"{agent}: 'version' of table '{table.name}' must have the shape () or "
            f"(T,): {version.shape}"
        )
    if version.shape and (mask is None or mask.shape != version.shape):
        raise ConfigError(
            f"{agent}: items of table '{table.name}' have several versions and so need "
            f"a field 'mask' of the shape {version.shape}"
        )
