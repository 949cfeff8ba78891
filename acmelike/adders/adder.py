"""The protocol of adders, and their output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from acmelike.types import Array, Nested, VectorStep


class AdderOutput(NamedTuple):
    """What one time step of K environments adds to replay.

    Attributes:
      items: the completed items, a nest of `[n, ...]` as in the table's signature; None
        if the step completes no item.
      steps: by shared column, `[m, ...]` new rows, which items refer to by number.
      keep_from: by shared column, the number of the first row that later items may
        refer to.
      priorities: `[n]`, of the items; None for the largest priority so far.
    """

    items: Nested | None = None
    steps: Mapping[str, Array] = {}
    keep_from: Mapping[str, int] = {}
    priorities: Array | None = None


class Adder(Protocol):
    """Turns the time steps of K environments into items of a table.

    Attributes:
      span: the maximum number of time steps between an observation and the output of an
        item that contains it.
    """

    @property
    def span(self) -> int: ...

    def start(self, step: VectorStep) -> None:
        """Discards everything that is not complete, and starts from a time step.

        Args:
          step: the one that the next action answers; usually all FIRST.
        """

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it.

        Args:
          a_tm1: `[K, ...]`, the actions that led to `step_t`; ignored where it is
            FIRST.
          version_tm1: the version of the parameters that chose the actions.
          step_t: the time step that followed.
          extras_tm1: by name, `[K, ...]` outputs of the policy beside the actions.

        The adder may keep the arrays of `step_t` and `extras_tm1`: the caller must not
        change them afterwards. The actions are copied.
        """
