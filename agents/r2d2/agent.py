"""R2D2's settings, and the builder that makes its parts. Imports no JAX."""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
from dm_env import specs

from acmelike.adders import SequenceAdder, sequence_signature
from acmelike.agent import PolicyInputs
from acmelike.agents.parts.epsilon_greedy import EPSILON_NOISE, epsilon_state
from acmelike.agents.parts.q_learning import QLearningBuilder, QLearningConfig
from acmelike.agents.parts.settings import ReplaySettings
from acmelike.checks import above, at_least, between
from acmelike.errors import ConfigError
from acmelike.networks import LSTMState, lstm_state
from acmelike.replay import Prioritized, TableConfig
from acmelike.types import EnvironmentSpec

# Stands for the last action at the start of an episode.
NO_ACTION = -1


class Memory(NamedTuple):
    """What the agent knows of the steps before an observation.

    Attributes:
      hidden: `[B, H]` of the LSTM.
      cell: `[B, H]` of the LSTM.
      action: `[B]` int32, the last one; `NO_ACTION` where an episode starts.
    """

    hidden: Any
    cell: Any
    action: Any

    @property
    def lstm(self) -> LSTMState:
        """The state of the LSTM."""
        return LSTMState(self.hidden, self.cell)


class PolicyState(NamedTuple):
    """The state of the policy.

    Attributes:
      memory: `[K, ...]`.
      epsilon: `[K]` float32, of each environment.
    """

    memory: Memory
    epsilon: Any


@dataclass(frozen=True, kw_only=True)
class R2D2Config(QLearningConfig):
    """Recurrent replay distributed DQN: an LSTM after the network.

    Attributes:
      hidden_sizes: units of each hidden layer of "mlp", "minatar" and "nature".
      lstm_size: units of the LSTM.
      sequence_length: steps of a sequence, burn-in included.
      burn_in: first steps of a sequence, which only bring the LSTM's state up to date.
      overlap: steps that successive sequences of an episode share; each step is learned
        from if that is more than burn_in.
      rescale_values: learn h(q), which grows as the square root (Pohlen 2018).
      priority_max_fraction: eta, the weight of the largest TD error of a sequence in
        its priority; the mean has the rest.
      replay: of sequences. A sequence has sequence_length - overlap new steps.
    """

    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (64,)
    lstm_size: Annotated[int, at_least(1)] = 64
    sequence_length: Annotated[int, at_least(2)] = 20
    burn_in: Annotated[int, at_least(0)] = 5
    overlap: Annotated[int, at_least(0)] = 10
    n_step: Annotated[int, at_least(1)] = 3
    rescale_values: bool = True
    priority_max_fraction: Annotated[float, between(0, 1)] = 0.9
    batch_size: Annotated[int, at_least(1)] = 32
    num_updates_per_call: Annotated[int, at_least(1)] = 8
    target_update_period: Annotated[int, at_least(1)] = 100
    replay: ReplaySettings = field(
        default_factory=lambda: ReplaySettings(
            size=10_000, min_size=200, samples_per_insert=64.0
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # The last step of a sequence has nothing to bootstrap from.
        if self.burn_in > self.sequence_length - 2:
            raise ConfigError(
                f"burn_in must be at most sequence_length - 2 = "
                f"{self.sequence_length - 2}: {self.burn_in}"
            )
        if self.overlap >= self.sequence_length:
            raise ConfigError(
                f"overlap must be below sequence_length = {self.sequence_length}: "
                f"{self.overlap}"
            )


@dataclass(frozen=True, kw_only=True)
class R2D2Builder(QLearningBuilder):
    """Makes the parts of one R2D2 agent; implements `Builder`."""

    config: R2D2Config
    name = "r2d2"
    factory = "acmelike.agents.r2d2.learner:R2D2"

    def make_table(self, spec: EnvironmentSpec) -> TableConfig:
        """Sequences, with the memory before each."""
        config = self.config
        units = specs.Array((config.lstm_size,), np.float32)
        memory = Memory(units, units, specs.Array((), np.int32))
        return config.replay.make_table(
            "sequences",
            sequence_signature(
                spec, config.sequence_length, first_extras=memory._asdict()
            ),
            items_per_call=self.batch_size,
            sampler=Prioritized(exponent=config.priority_exponent),
            rows_per_item=config.sequence_length - config.overlap,
        )

    def make_adder(self, num_envs: int) -> SequenceAdder:
        """Sequences that overlap and end with their episode."""
        config = self.config
        return SequenceAdder(
            num_envs=num_envs,
            length=config.sequence_length,
            period=config.sequence_length - config.overlap,
            at_end="shift",
            first_extras=Memory._fields,
        )

    def _inputs(self, epsilons: tuple[float, ...]) -> PolicyInputs:
        size = self.config.lstm_size
        init = partial(initial_state, lstm_size=size, epsilons=epsilons)
        return PolicyInputs(init=init, noise=EPSILON_NOISE)


def initial_state(
    num_envs: int, *, lstm_size: int, epsilons: tuple[float, ...]
) -> PolicyState:
    """An empty memory, and each environment's epsilon."""
    action = np.full(num_envs, NO_ACTION, np.int32)
    hidden, cell = lstm_state(num_envs, lstm_size)
    memory = Memory(hidden, cell, action)
    return PolicyState(memory, epsilon_state(num_envs, epsilons=epsilons))
