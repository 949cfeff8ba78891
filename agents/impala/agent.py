"""IMPALA's settings, and the builder that makes its parts. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.agents.parts.unrolls import UnrollBuilder, UnrollConfig
from acmelike.checks import above, at_least, between
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ImpalaConfig(UnrollConfig):
    """An actor-critic that learns from unrolls of somewhat older policies.

    The policy and the value share one network.

    Attributes:
      lstm_size: units of an LSTM after the network; 0 for none.
      batch_size: unrolls of one update.
      queue_size: unrolls that the queue holds; actors wait while it is full. 0 for two
        batches. The larger it is, the older are the unrolls that are learned from.
      reward_scale: what rewards are multiplied by before learning. Values should not be
        far above 10: otherwise their errors outweigh the gradient of the policy.
      trace_lambda: how far V-trace's corrections reach: 1 is as in the paper.
      clip_rho: the largest weight of a step in the value's target.
      clip_pg_rho: the largest weight of a step in the policy's gradient.
    """

    lstm_size: Annotated[int, at_least(0)] = 0
    batch_size: Annotated[int, at_least(1)] = 8
    queue_size: Annotated[int, at_least(0)] = 0
    reward_scale: Annotated[float, above(0)] = 0.1
    trace_lambda: Annotated[float, between(0, 1)] = 1.0
    clip_rho: Annotated[float, above(0)] = 1.0
    clip_pg_rho: Annotated[float, above(0)] = 1.0
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(
            decay_updates=2_000, max_gradient_norm=40.0
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.queue_size < self.batch_size:
            raise ConfigError(
                f"queue_size must be at least batch_size = {self.batch_size}, or 0: "
                f"{self.queue_size}"
            )


@dataclass(frozen=True, kw_only=True)
class ImpalaBuilder(UnrollBuilder):
    """Makes the parts of one IMPALA agent; implements `Builder` and `OnPolicy`."""

    config: ImpalaConfig
    name = "impala"
    factory = "acmelike.agents.impala.learner:Impala"
    num_updates_per_call = 1

    @property
    def batch_size(self) -> int:
        return self.config.batch_size

    @property
    def queue_size(self) -> int:
        return self.config.queue_size or 2 * self.config.batch_size

    @property
    def lstm_size(self) -> int:
        return self.config.lstm_size
