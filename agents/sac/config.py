"""The settings of SAC. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass

from acmelike.checks import check_ranges
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SACConfig:
    """Soft actor-critic.

    Attributes:
      hidden_sizes: units of each hidden layer, of the policy and of both critics.
      discount: of the agent, for one step.
      learning_rate: of Adam, for policy, critics and temperature.
      target_rate: how far the target critics go towards the critics in an update.
      initial_temperature: what entropy is worth at the start, in reward.
      target_entropy: what the temperature is to keep the policy's entropy at, with
        actions measured from -1 to 1; None for minus the number of action dimensions.
      batch_size: transitions of one update.
      num_updates_per_call: updates made in one compiled call.
      replay_size: transitions kept; the oldest go first.
      min_replay_size: transitions before the first update.
      samples_per_insert: transitions sampled for each one inserted; divided by
        batch_size, that is updates per environment step.
      error_buffer: how far the transitions sampled may be ahead of or behind that
        ratio before learner or actors wait; 0 for two calls' worth.
    """

    hidden_sizes: tuple[int, ...] = (256, 256)
    discount: float = 0.99
    learning_rate: float = 1e-3
    target_rate: float = 0.005
    initial_temperature: float = 1.0
    target_entropy: float | None = None
    batch_size: int = 256
    num_updates_per_call: int = 8
    replay_size: int = 1_000_000
    min_replay_size: int = 1_000
    samples_per_insert: float = 256.0
    error_buffer: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            at_least={
                "batch_size": 1,
                "num_updates_per_call": 1,
                "replay_size": 1,
                "min_replay_size": 1,
                "error_buffer": 0,
            },
            above_zero=(
                "learning_rate",
                "initial_temperature",
                "samples_per_insert",
                "hidden_sizes",
            ),
            fractions=("discount", "target_rate"),
        )
        if self.target_entropy is not None and not math.isfinite(self.target_entropy):
            raise ConfigError(f"target_entropy must be finite: {self.target_entropy}")
