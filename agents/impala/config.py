"""The settings of IMPALA. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.checks import check_ranges
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
      reward_scale: rewards are learnt times this, so that values are not far above 10;
        else their errors outweigh what the policy learns.
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
    reward_scale: float = 0.1
    discount: float = 0.99
    trace_lambda: float = 1.0
    clip_rho: float = 1.0
    clip_pg_rho: float = 1.0
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    learning_rate: float = 1e-3
    final_learning_rate_fraction: float = 0.1
    learning_rate_decay_updates: int = 2_000
    max_gradient_norm: float = 40.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            at_least={
                "lstm_size": 0,
                "unroll_length": 1,
                "batch_size": 1,
                "queue_size": 0,
                "learning_rate_decay_updates": 1,
                "value_weight": 0,
                "entropy_weight": 0,
            },
            above_zero=(
                "clip_rho",
                "clip_pg_rho",
                "learning_rate",
                "reward_scale",
                "max_gradient_norm",
                "hidden_sizes",
            ),
            fractions=("discount", "trace_lambda", "final_learning_rate_fraction"),
        )
        if 0 < self.queue_size < self.batch_size:
            raise ConfigError(
                f"queue_size must be at least batch_size = {self.batch_size}, or 0: "
                f"{self.queue_size}"
            )
