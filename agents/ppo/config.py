"""The settings of PPO. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from acmelike.checks import check_ranges


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO with a clipped objective.

    Attributes:
      hidden_sizes: units of each hidden layer, of the policy and of the value.
      activation: after each of them; what images pass through before, a convolution,
        has relu.
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
        check_ranges(
            self,
            at_least={
                "unroll_length": 1,
                "num_epochs": 1,
                "num_minibatches": 1,
                "learning_rate_decay_updates": 1,
                "value_weight": 0,
                "entropy_weight": 0,
            },
            above_zero=(
                *("hidden_sizes", "clip", "clip_values"),
                *("learning_rate", "max_gradient_norm"),
            ),
            fractions=("discount", "gae_lambda", "final_learning_rate_fraction"),
        )
