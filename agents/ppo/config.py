"""The settings of PPO. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO with a clipped objective.

    Attributes:
      hidden_sizes: units of each hidden layer, of the policy and of the value.
      activation: after each of them.
      unroll_length: steps that each environment takes with one version of the
        parameters.
      num_epochs: how often each step is used.
      num_minibatches: updates of an epoch; they divide the steps of a batch.
      discount: of the agent, for one step.
      gae_lambda: of generalized advantage estimation (Schulman 2015): 0 bootstraps
        after one step, 1 after the last.
      clip: how far the probability of an action may leave the old one, as a fraction,
        before the gradient ends.
      clip_values: how far values may leave the old ones likewise; None for no limit.
      value_weight: of the value loss.
      entropy_weight: of the entropy bonus.
      normalize_advantages: mean zero and variance one in every minibatch.
      normalize_observations: mean zero and variance one over all that was seen.
      normalize_rewards: divided by the root of their mean square so far.
      learning_rate: of Adam, at the start.
      final_learning_rate_fraction: of it that is left at the end of the decay.
      learning_rate_decay_updates: updates over which it decays linearly.
      max_gradient_norm: gradients are scaled down to this global norm.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Literal["relu", "tanh"] = "tanh"
    unroll_length: int = 32
    num_epochs: int = 10
    num_minibatches: int = 2
    discount: float = 0.98
    gae_lambda: float = 0.8
    clip: float = 0.2
    clip_values: float | None = None
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    normalize_advantages: bool = True
    normalize_observations: bool = False
    normalize_rewards: bool = False
    learning_rate: float = 1e-3
    final_learning_rate_fraction: float = 0.1
    learning_rate_decay_updates: int = 8_000
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        at_least_one = (
            "unroll_length",
            "num_epochs",
            "num_minibatches",
            "learning_rate_decay_updates",
        )
        above_zero = ("clip", "clip_values", "learning_rate", "max_gradient_norm")
        fractions = ("discount", "gae_lambda", "final_learning_rate_fraction")
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in at_least_one and not value >= 1:
                raise ConfigError(f"{name} must be at least 1: {value}")
            if name in above_zero and value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be finite and above 0: {value}")
            if name in fractions and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be between 0 and 1: {value}")
            if name.endswith("_weight") and not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be finite and at least 0: {value}")
        if not all(size > 0 for size in self.hidden_sizes):
            raise ConfigError(f"hidden_sizes must be above 0: {self.hidden_sizes}")
