"""Action values, learned from prioritized replay. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from acmelike.agent import ActorPlace, PolicyInputs
from acmelike.agents.parts.builders import OffPolicyBuilder, check_discrete
from acmelike.agents.parts.epsilon_greedy import epsilon_inputs, epsilon_ladder
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.checks import above, at_least, between, check_fields
from acmelike.networks import NetworkSource
from acmelike.types import EnvironmentSpec

# Each item has at least this, so that it can be sampled: its error may grow later.
MIN_PRIORITY = 1e-3


@dataclass(frozen=True, kw_only=True)
class QLearningConfig:
    """The settings that all agents with epsilon-greedy action values have.

    Attributes:
      network: from observations to features: "auto", "mlp", "minatar", "nature",
        "impala_resnet", or a flax module of your own as "my_module:MyNetwork".
      embedding_size: numbers in the vector that is learned for each category of an
        observation; 0 for one-hot.
      normalize_observations: mean zero and variance one, over all batches so far; an
        item counts as often as it was sampled. Categories and bytes stay as they are.
      dueling: a value and an advantage stream (Wang 2015).
      n_step: steps between an observation and the one it bootstraps from.
      discount: of the agent, for one step.
      priority_exponent: 0 samples uniformly, 1 in proportion to TD errors; only with
        prioritized replay.
      importance_exponent: of the weights that correct the bias of prioritized sampling:
        0 for no correction, 1 for a full one; only with prioritized replay.
      huber_delta: TD errors beyond it count linearly.
      batch_size: items of one update.
      num_updates_per_call: updates made in one compiled call.
      target_update_period: updates between copies into the target network.
      epsilon: the exploration of environment 0, the largest. It stays the same during a
        run, also with a single environment.
      epsilon_alpha: how fast epsilon falls over the environments: environment i of N
        acts at random with probability epsilon ** (1 + i * epsilon_alpha / (N - 1)).
      optimizer: Adam.
      replay: of transitions.
    """

    network: NetworkSource = "auto"
    embedding_size: Annotated[int, at_least(0)] = 0
    normalize_observations: bool = False
    dueling: bool = True
    n_step: Annotated[int, at_least(1)] = 1
    discount: Annotated[float, between(0, 1)] = 0.99
    priority_exponent: Annotated[float, at_least(0)] = 0.6
    importance_exponent: Annotated[float, at_least(0)] = 0.4
    huber_delta: Annotated[float, above(0)] = 1.0
    batch_size: Annotated[int, at_least(1)] = 64
    num_updates_per_call: Annotated[int, at_least(1)] = 16
    target_update_period: Annotated[int, at_least(1)] = 50
    epsilon: Annotated[float, between(0, 1)] = 0.4
    epsilon_alpha: Annotated[float, at_least(0)] = 7.0
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)

    def __post_init__(self) -> None:
        check_fields(self)


class QLearningBuilder(OffPolicyBuilder):
    """A builder of an epsilon-greedy agent, which is greedy when it is evaluated."""

    config: QLearningConfig

    def check(self, spec: EnvironmentSpec) -> None:
        check_discrete(self.name, spec, self.config)

    def make_policy_inputs(
        self, spec: EnvironmentSpec, place: ActorPlace
    ) -> PolicyInputs:
        config = self.config
        return self._inputs(epsilon_ladder(config.epsilon, config.epsilon_alpha, place))

    def make_greedy_inputs(self, spec: EnvironmentSpec) -> PolicyInputs:
        return self._inputs((0.0,))

    def _inputs(self, epsilons: tuple[float, ...]) -> PolicyInputs:
        """The inputs of a policy; a recurrent one has more state than the epsilons."""
        return epsilon_inputs(epsilons)
