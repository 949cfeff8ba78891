"""The settings of IMPALA. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ImpalaConfig:
    """An actor-critic that learns from unrolls of somewhat older policies.

    Attributes:
      hidden_sizes: units of each hidden layer, shared by the policy and the value.
      lstm_size: units of an LSTM after them; 0 for none.
      unroll_length: steps of an unroll.
      batch_size: unrolls of one update.
      queue_size: unrolls that wait for the learner before actors do; the more, the
        older what it learns from; 0 for two batches.
      discount: of the agent, for one step.
      trace_lambda: how far V-trace's corrections reach: 1 is as in the paper.
      clip_rho: the most that a step may count for in the value's target.
      clip_pg_rho: the most that a step may count for in the policy's gradient.
      value_weight: of the value loss.
      entropy_weight: of the entropy bonus.
      learning_rate: of Adam, at the start.
      final_learning_rate_fraction: of it that is left at the end of the decay.
      learning_rate_decay_updates: updates over which it decays linearly.
      max_gradient_norm: gradients are scaled down to this global norm.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    lstm_size: int = 0
    unroll_length: int = 20
    batch_size: int = 8
    queue_size: int = 0
    discount: float = 0.99
    trace_lambda: float = 1.0
    clip_rho: float = 1.0
    clip_pg_rho: float = 1.0
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    learning_rate: float = 1e-3
    final_learning_rate_fraction: float = 0.1
    learning_rate_decay_updates: int = 2_000
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        at_least = {
            "lstm_size": 0,
            "unroll_length": 1,
            "batch_size": 1,
            "queue_size": 0,
            "learning_rate_decay_updates": 1,
        }
        above_zero = ("clip_rho", "clip_pg_rho", "learning_rate", "max_gradient_norm")
        fractions = ("discount", "trace_lambda", "final_learning_rate_fraction")
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in at_least and not value >= at_least[name]:
                raise ConfigError(f"{name} must be at least {at_least[name]}: {value}")
            if name in above_zero and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be finite and above 0: {value}")
            if name in fractions and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be between 0 and 1: {value}")
            if name.endswith("_weight") and not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be finite and at least 0: {value}")
        if not all(size > 0 for size in self.hidden_sizes):
            raise ConfigError(f"hidden_sizes must be above 0: {self.hidden_sizes}")
        if 0 < self.queue_size < self.batch_size:
            raise ConfigError(
                f"queue_size must be at least batch_size = {self.batch_size}, or 0: "
                f"{self.queue_size}"
            )
