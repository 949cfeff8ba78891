"""Groups of settings that several agents have. Imports no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from acmelike.checks import above, at_least, between, check_fields
from acmelike.replay import SamplesPerInsert, SelectorConfig, TableConfig, Uniform
from acmelike.types import NestedSpec


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Replay of items that are sampled more than once.

    Attributes:
      size: items kept; the oldest are evicted first.
      min_size: items before the first update.
      samples_per_insert: items sampled for each one inserted. Divided by batch_size,
        these are the updates per item.
      error_buffer: how far the number of items sampled may be from that ratio before
        learner or actors wait; at least samples_per_insert. 0 for the items of two
        calls of update, or samples_per_insert if that is more.
    """

    size: Annotated[int, at_least(1)] = 100_000
    min_size: Annotated[int, at_least(1)] = 1_000
    samples_per_insert: Annotated[float, above(0)] = 32.0
    error_buffer: Annotated[float, at_least(0)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def make_table(
        self,
        name: str,
        signature: NestedSpec,
        *,
        items_per_call: int,
        sampler: SelectorConfig | None = None,
        rows_per_item: int = 1,
    ) -> TableConfig:
        """Makes the table.

        Args:
          name: of the table.
          signature: of its items.
          items_per_call: that the learner samples at once.
          sampler: chooses the items; None for uniform.
          rows_per_item: see `TableConfig`.
        """
        ratio = self.samples_per_insert
        return TableConfig(
            name=name,
            signature=signature,
            max_size=self.size,
            sampler=sampler or Uniform(),
            rows_per_item=rows_per_item,
            rate_limiter=SamplesPerInsert(
                ratio=ratio,
                min_size=self.min_size,
                error_buffer=self.error_buffer or max(2.0 * items_per_call, ratio),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Adam with a learning rate that may decay linearly.

    Attributes:
      learning_rate: Adam's, at the first update.
      final_fraction: the learning rate at the end of the decay, as a fraction of the
        first one; 1 for a rate that stays as it is.
      decay_updates: updates over which the learning rate decays. The number does not
        follow from the budget of a run: raise it with max_env_steps.
      max_gradient_norm: gradients are scaled down to this norm, over all that one
        optimizer learns, such as PPO's policy and value together, or both critics;
        None for no limit.
    """

    learning_rate: Annotated[float, above(0)] = 1e-3
    final_fraction: Annotated[float, between(0, 1)] = 0.1
    decay_updates: Annotated[int, at_least(1)] = 25_000
    max_gradient_norm: Annotated[float, above(0)] | None = 10.0

    def __post_init__(self) -> None:
        check_fields(self)
