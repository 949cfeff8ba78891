"""The settings of DQN. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.checks import check_ranges
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """DQN; every extension of it is a switch.

    Attributes:
      hidden_sizes: units of each hidden layer.
      double: select the bootstrap action with the online network (van Hasselt 2015).
      dueling: a value and an advantage stream (Wang 2015).
      n_step: steps between an observation and the one it bootstraps from.
      discount: of the agent, for one step.
      prioritized: sample by TD error with importance weights (Schaul 2015), else
        uniformly.
      actor_priorities: actors give new transitions their TD error as priority (Horgan
        2018); else they get the largest so far. Needs prioritized.
      priority_exponent: 0 samples uniformly, 1 in proportion to the TD error.
      importance_exponent: 0 leaves the bias of that sampling, 1 corrects it fully.
      learning_rate: of Adam, at the start.
      final_learning_rate_fraction: of it that is left at the end of the decay.
      learning_rate_decay_updates: updates over which it decays linearly.
      max_gradient_norm: gradients are scaled down to this global norm.
      huber_delta: TD errors beyond it count linearly.
      batch_size: transitions of one update.
      num_updates_per_call: updates made in one compiled call.
      target_update_period: updates between copies into the target network.
      replay_size: transitions kept; the oldest go first.
      min_replay_size: transitions before the first update.
      samples_per_insert: transitions sampled for each one inserted; divided by
        batch_size, that is updates per environment step.
      error_buffer: how far the transitions sampled may be ahead of or behind that
        ratio before learner or actors wait; 0 for two calls' worth.
      epsilon: exploration of the most curious environment.
      epsilon_alpha: how fast it falls over the environments: environment i of N acts
        at random with probability epsilon ** (1 + i * epsilon_alpha / (N - 1)).
    """

    hidden_sizes: tuple[int, ...] = (128, 128)
    double: bool = True
    dueling: bool = True
    n_step: int = 1
    discount: float = 0.99
    prioritized: bool = True
    actor_priorities: bool = False
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    learning_rate: float = 1e-3
    final_learning_rate_fraction: float = 0.1
    learning_rate_decay_updates: int = 25_000
    max_gradient_norm: float = 10.0
    huber_delta: float = 1.0
    batch_size: int = 64
    num_updates_per_call: int = 16
    target_update_period: int = 50
    replay_size: int = 100_000
    min_replay_size: int = 1_000
    samples_per_insert: float = 32.0
    error_buffer: float = 0.0
    epsilon: float = 0.4
    epsilon_alpha: float = 7.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            at_least={
                "n_step": 1,
                "batch_size": 1,
                "num_updates_per_call": 1,
                "target_update_period": 1,
                "learning_rate_decay_updates": 1,
                "replay_size": 1,
                "min_replay_size": 1,
                "error_buffer": 0,
                "epsilon_alpha": 0,
                "priority_exponent": 0,
                "importance_exponent": 0,
            },
            above_zero=(
                "learning_rate",
                "samples_per_insert",
                "max_gradient_norm",
                "huber_delta",
                "hidden_sizes",
            ),
            fractions=("discount", "epsilon", "final_learning_rate_fraction"),
        )
        if self.actor_priorities and not self.prioritized:
            raise ConfigError("actor_priorities needs prioritized")
