"""Whole episodes of at most T steps, from K environments at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from numpy.typing import ArrayLike

from acmelike.adders.adder import AdderOutput
from acmelike.adders.sequence import SequenceAdder, SequencePriority
from acmelike.errors import ConfigError
from acmelike.types import Array, VectorStep


class EpisodeAdder:
    """Turns the steps of K environments into episodes, an item for each that has ended.

    An item is a `Sequence` of T steps, of a table with `sequence_signature(spec, T)`.
    An episode with n actions fills n + 1 of them, as its last observation is a step
    too; zeros follow, and the sum of `mask` is n. What an environment has not ended is
    in no item.

    Zeros are no rows: a step that is not there costs a table the 8 bytes of an id in
    each field, however large its observation. So there is no form without padding.

    Args:
      num_envs: K.
      max_length: T, the most steps of an episode, its last observation included.
      first_extras: the names of extras of which the first step's are kept.
      initial_priority: what episodes get as their first priorities; None for none.

    Raises:
      ConfigError: there is no environment, or no episode could be so short.
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
        """See `Adder.start`."""
        self._sequences.start(step)

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds what followed an action; see `SequenceAdder.add`.

        Raises:
          RuntimeError: there was no `start`.
          ValueError: an episode has more than T steps.
        """
        added = self._sequences.add(a_tm1, version_tm1, step_t, extras_tm1)
        if added.items is not None:
            envs = added.items.mask[:, 0] % self._num_envs
            goes_on = ~step_t.first()[envs]
            if goes_on.any():
                raise ValueError(
                    f"an episode of environment {envs[goes_on][0]} has more steps than "
                    f"max_length = {self._max_length}; raise it, end episodes sooner, "
                    "or let a SequenceAdder cut them"
                )
        return added
