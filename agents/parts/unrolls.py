"""Actor-critics that learn from a queue of unrolls. Imports no JAX."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from dm_env import specs

from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import ActorPlace, PolicyInputs, no_state
from acmelike.agents.parts.bounds import bounds_of
from acmelike.agents.parts.builders import LazyBuilder, check_inputs
from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.checks import above, at_least, between, check_fields
from acmelike.networks import LSTMState, NetworkSource, lstm_state
from acmelike.policies import gumbel_noise, normal_noise, zero_noise
from acmelike.replay import TableConfig
from acmelike.types import EnvironmentSpec, MultiDiscreteArray, Nested


@dataclass(frozen=True, kw_only=True)
class UnrollConfig:
    """The settings that all actor-critics that learn from unrolls have.

    Attributes:
      network: from observations to features: "auto", "mlp", "minatar", "nature",
        "impala_resnet", or a flax module of your own as "my_module:MyNetwork".
      embedding_size: numbers in the vector that is learned for each category of an
        observation; 0 for one-hot.
      hidden_sizes: units of each hidden layer of "mlp", "minatar" and "nature".
      normalize_observations: mean zero and variance one, over all batches so far; an
        item counts as often as it was sampled. Categories and bytes stay as they are.
      unroll_length: steps of an unroll.
      discount: of the agent, for one step.
      value_weight: of the value loss.
      entropy_weight: of the entropy bonus.
      optimizer: Adam.
    """

    network: NetworkSource = "auto"
    embedding_size: Annotated[int, at_least(0)] = 0
    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (64, 64)
    normalize_observations: bool = False
    unroll_length: Annotated[int, at_least(1)] = 20
    discount: Annotated[float, between(0, 1)] = 0.99
    value_weight: Annotated[float, at_least(0)] = 0.5
    entropy_weight: Annotated[float, at_least(0)] = 0.01
    optimizer: OptimizerSettings

    def __post_init__(self) -> None:
        check_fields(self)


class UnrollBuilder(LazyBuilder, ABC):
    """A builder of an agent that draws actions and learns from unrolls.

    The extras of its policy are those of the actions' `Distribution`, and the state of
    an LSTM if it has one.
    """

    config: UnrollConfig

    @property
    def unroll_length(self) -> int:
        """Steps of an unroll."""
        return self.config.unroll_length

    @property
    @abstractmethod
    def queue_size(self) -> int:
        """How many unrolls may wait for the learner before actors have to wait."""

    @property
    def lstm_size(self) -> int:
        """Units of the policy's LSTM; 0 for none."""
        return 0

    def check(self, spec: EnvironmentSpec) -> None:
        check_inputs(self.name, spec, self.config)
        self._noise_size(spec)

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        state = specs.Array((self.lstm_size,), np.float32)
        signature = unroll_signature(
            spec,
            self.unroll_length,
            extras=self._extras(spec),
            first_extras=dict.fromkeys(self._state_names(), state),
        )
        return TableConfig.queue("unrolls", signature, max_size=self.queue_size)

    def make_adder(self, num_envs: int) -> UnrollAdder:
        """Unrolls, with the LSTM's state before each."""
        return UnrollAdder(
            num_envs=num_envs,
            length=self.unroll_length,
            first_extras=self._state_names(),
        )

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        size = self._noise_size(spec)
        noise = partial(normal_noise, size=size)
        if _num_categories(spec.actions) is not None:
            noise = partial(gumbel_noise, num_actions=size)
        return PolicyInputs(init=self._initial_state(), noise=noise)

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        """The most likely actions: without noise."""
        noise = partial(zero_noise, size=self._noise_size(spec))
        return PolicyInputs(init=self._initial_state(), noise=noise)

    def _noise_size(self, spec: EnvironmentSpec) -> int:
        """How many numbers draw an action: one for each category or dimension."""
        number = _num_categories(spec.actions)
        return bounds_of(spec.actions, self.name).size if number is None else number

    def _extras(self, spec: EnvironmentSpec) -> dict[str, specs.Array]:
        extras = {"log_prob": specs.Array((), np.float32)}
        if _num_categories(spec.actions) is None:
            extras["sample"] = specs.Array((self._noise_size(spec),), np.float32)
        return extras

    def _state_names(self) -> Sequence[str]:
        return LSTMState._fields if self.lstm_size else ()

    def _initial_state(self) -> Callable[[int], Nested]:
        if not self.lstm_size:
            return no_state
        return partial(lstm_state, num_units=self.lstm_size)


def _num_categories(actions: specs.Array) -> int | None:
    """How many categories there are, of all dimensions; None for continuous actions."""
    if isinstance(actions, specs.DiscreteArray):
        return int(actions.num_values)
    if isinstance(actions, MultiDiscreteArray):
        return sum(actions.categories()[1])
    return None
