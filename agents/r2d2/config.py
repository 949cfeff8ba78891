"""The settings of R2D2. Imports no JAX, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.checks import check_ranges
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class R2D2Config:
    """R2D2.

    Attributes:
      torso_sizes: units of each layer before the LSTM.
      num_units: of the LSTM.
      dueling: a value and an advantage stream (Wang 2015).
      sequence_length: steps of a sequence, burn-in included.
      burn_in: steps of it that only bring the LSTM's state up to date.
      overlap: steps that successive sequences of an episode share; each step is learned
        from if that is more than burn_in.
      n_step: steps between an observation and the one it bootstraps from.
      discount: of the agent, for one step.
      rescale_values: learn h(q), which grows as the square root (Pohlen 2018).
      priority_max_fraction: eta, what the largest TD error of a sequence counts in its
        priority; the mean counts the rest.
      priority_exponent: 0 samples uniformly, 1 in proportion to the priority.
      importance_exponent: 0 leaves the bias of that sampling, 1 corrects it fully.
      learning_rate: of Adam, at the start.
      final_learning_rate_fraction: of it that is left at the end of the decay.
      learning_rate_decay_updates: updates over which it decays linearly.
      max_gradient_norm: gradients are scaled down to this global norm.
      huber_delta: TD errors beyond it count linearly.
      batch_size: sequences of one update.
      num_updates_per_call: updates made in one compiled call.
      target_update_period: updates between copies into the target network.
      replay_size: sequences kept; the oldest go first.
      min_replay_size: sequences before the first update.
      samples_per_insert: sequences sampled for each one inserted; divided by batch_size
        and by sequence_length - overlap, that is updates per environment step.
      error_buffer: how far the sequences sampled may be ahead of or behind that
        ratio before learner or actors wait; 0 for two calls' worth.
      epsilon: exploration of the most curious environment.
      epsilon_alpha: how fast it falls over the environments: environment i of N acts
        at random with probability epsilon ** (1 + i * epsilon_alpha / (N - 1)).
    """

    torso_sizes: tuple[int, ...] = (64,)
    num_units: int = 64
    dueling: bool = True
    sequence_length: int = 20
    burn_in: int = 5
    overlap: int = 10
    n_step: int = 3
    discount: float = 0.99
    rescale_values: bool = True
    priority_max_fraction: float = 0.9
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    learning_rate: float = 1e-3
    final_learning_rate_fraction: float = 0.1
    learning_rate_decay_updates: int = 25_000
    max_gradient_norm: float = 10.0
    huber_delta: float = 1.0
    batch_size: int = 32
    num_updates_per_call: int = 8
    target_update_period: int = 100
    replay_size: int = 10_000
    min_replay_size: int = 200
    samples_per_insert: float = 64.0
    error_buffer: float = 0.0
    epsilon: float = 0.4
    epsilon_alpha: float = 7.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            at_least={
                "num_units": 1,
                "sequence_length": 2,
                "burn_in": 0,
                "overlap": 0,
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
                "torso_sizes",
            ),
            fractions=(
                "discount",
                "epsilon",
                "final_learning_rate_fraction",
                "priority_max_fraction",
            ),
        )
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
