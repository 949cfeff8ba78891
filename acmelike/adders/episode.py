"""Adds whole episodes of K environments."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from numpy.typing import ArrayLike

from acmelike.adders.adder import AdderOutput
from acmelike.adders.sequence import SequenceAdder, SequencePriority
from acmelike.errors import ConfigError
from acmelike.types import Array, VectorStep


class EpisodeAdder:
    """An `Adder` that makes one item of each episode when it has ended.

    An item is a `Sequence` of T steps; the signature of the table is
    `sequence_signature(spec, T)`. An episode with n actions fills n + 1 steps, because
    its last observation is a step too. Zeros follow, and the sum of `mask` is n.

    Padding is cheap: a step of zeros has no row, and costs the table 8 bytes for an id
    in each field, even if observations are large. So short episodes are always padded.

    Args:
      num_envs: K.
      max_length: T, the maximum number of steps of an episode, its last observation
        included.
      first_extras: names of the extras that are kept of the first step only.
      initial_priority: computes the first priorities of episodes; None for the largest
        priority so far.

    Raises:
      ConfigError: `num_envs` is less than 1, or `max_length` less than 2.
    """

    def __init__(
        self,
        *,
        num_envs: int,
        max_length: int,
        first_extras: Collection[str] = (),
        initial_priority: SequencePriority | None = None,
    ) -> None:
        if max_length < 2:
            raise ConfigError(
                "max_length must be at least 2, the steps of an episode of one "
                f"action, not {max_length}"
            )
        self._max_length, self.span = max_length, max_length
        self._num_envs = num_envs
        self._sequences = SequenceAdder(
            num_envs=num_envs,
            length=max_length,
            period=max_length,
            at_end="pad",
            first_extras=first_extras,
            initial_priority=initial_priority,
        )

    def start(self, step: VectorStep) -> None:
        self._sequences.start(step)

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`.

        Raises:
          RuntimeError: `start` was not called.
          ValueError: an episode has more than T steps.
        """
        output = self._sequences.add(a_tm1, version_tm1, step_t, extras_tm1)
        if output.items is not None:
            envs = output.items.mask[:, 0] % self._num_envs
            is_cut = ~step_t.first()[envs]
            if is_cut.any():
                raise ValueError(
                    f"an episode of environment {envs[is_cut][0]} has more steps than "
                    f"max_length = {self._max_length}; raise it, end episodes sooner, "
                    "or let a SequenceAdder cut them"
                )
        return output
