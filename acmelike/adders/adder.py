"""What an adder makes of a time step, and what an adder is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from acmelike.types import Array, Nested, VectorStep


class AdderOutput(NamedTuple):
    """What a time step adds to replay.

    Attributes:
      items: those that it completes, a nest of `[n, ...]` as the table's signature has
        it, or None if it completes none.
      steps: by shared column, the rows that items refer to, `[m, ...]`.
      keep_from: by shared column, the first step that later items may refer to.
      priorities: `[n]`, those of the items, or None for the largest so far.
    """

    items: Nested | None = None
    steps: Mapping[str, Array] = {}
    keep_from: Mapping[str, int] = {}
    priorities: Array | None = None


class Adder(Protocol):
    """Turns the time steps of K environments into items of a table.

    Attributes:
      span: the most time steps from an observation to the one at which an item that has
        it is handed out.
    """

    @property
    def span(self) -> int: ...

    def start(self, step: VectorStep) -> None:
        """Forgets everything and takes the step that the next action answers."""

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds what followed an action.

        Args:
          a_tm1: `[K, ...]` the actions that led to `step_t`; ignored where it is FIRST.
          version_tm1: the version of the parameters that chose them.
          step_t: what the environments returned. Its arrays are not written to again.
          extras_tm1: by name, `[K, ...]` what the policy said with the actions.
        """
