"""IMPALA's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from acmelike.agents.parts.builders import check_discrete
from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.agents.parts.unrolls import UnrollBuilder
from acmelike.checks import above, at_least, between, check_fields
from acmelike.errors import ConfigError
from acmelike.networks import NetworkSource
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class ImpalaConfig:
    """An actor-critic that learns from unrolls of somewhat older policies.

    Attributes:
      network: from observations to features, shared by the policy and the value:
        "auto", "mlp", "minatar", "impala_resnet", or a flax module of your own as
        "my_module:MyNetwork".
      hidden_sizes: units of each hidden layer of "mlp" and "minatar".
      lstm_size: units of an LSTM after them; 0 for none.
      unroll_length: steps of an unroll.
      batch_size: unrolls of one update.
      queue_size: unrolls that wait for the learner before actors do; 0 for two batches.
        The larger it is, the older are the unrolls that are learned from.
      reward_scale: rewards are learned times this, so that values are not far above 10;
        else their errors outweigh the gradient of the policy.
      discount: of the agent, for one step.
      trace_lambda: how far V-trace's corrections reach: 1 is as in the paper.
      clip_rho: the largest weight of a step in the value's target.
      clip_pg_rho: the largest weight of a step in the policy's gradient.
      value_weight: of the value loss.
      entropy_weight: of the entropy bonus.
      optimizer: Adam.
    """

    network: NetworkSource = "auto"
    hidden_sizes: Annotated[tuple[int, ...], above(0)] = (64, 64)
    lstm_size: Annotated[int, at_least(0)] = 0
    unroll_length: Annotated[int, at_least(1)] = 20
    batch_size: Annotated[int, at_least(1)] = 8
    queue_size: Annotated[int, at_least(0)] = 0
    reward_scale: Annotated[float, above(0)] = 0.1
    discount: Annotated[float, between(0, 1)] = 0.99
    trace_lambda: Annotated[float, between(0, 1)] = 1.0
    clip_rho: Annotated[float, above(0)] = 1.0
    clip_pg_rho: Annotated[float, above(0)] = 1.0
    value_weight: Annotated[float, at_least(0)] = 0.5
    entropy_weight: Annotated[float, at_least(0)] = 0.01
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(
            decay_updates=2_000, max_gradient_norm=40.0
        )
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if 0 < self.queue_size < self.batch_size:
            raise ConfigError(
                f"queue_size must be at least batch_size = {self.batch_size}, or 0: "
                f"{self.queue_size}"
            )


@dataclass(frozen=True, kw_only=True)
class ImpalaBuilder(UnrollBuilder):
    """Makes the parts of one IMPALA agent; implements `Builder` and `OnPolicy`.

    Attributes:
      config: the agent's settings.
    """

    config: ImpalaConfig

    name = "impala"
    factory = "acmelike.agents.impala.learner:make_impala"
    num_updates_per_batch = 1

    @property
    def batch_size(self) -> int:
        return self.config.batch_size

    @property
    def unroll_length(self) -> int:
        return self.config.unroll_length

    @property
    def queue_size(self) -> int:
        return self.config.queue_size or 2 * self.config.batch_size

    @property
    def lstm_size(self) -> int:
        return self.config.lstm_size

    def check(self, spec: EnvironmentSpec) -> None:
        check_discrete(self.name, spec, self.config.network)
