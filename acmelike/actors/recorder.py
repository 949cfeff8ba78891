"""The recorder: what an actor's environments do, on its way to replay."""

from __future__ import annotations

from collections.abc import Mapping

from acmelike.adders import Adder
from acmelike.replay import Items, Replay, Writer
from acmelike.types import Array, VectorStep


class Recorder:
    """An adder, and the writer of what it completes.

    Args:
      adder: of the environments.
      replay: where items go.
      table: the table's name.
    """

    def __init__(self, adder: Adder, replay: Replay, table: str):
        self._adder, self._table = adder, table
        self._writer = Writer(replay, num_ahead=1)

    def start(self, step: VectorStep) -> None:
        """See `Adder.start`."""
        self._adder.start(step)

    def add(
        self,
        a_tm1: Array,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array],
    ) -> None:
        """See `Adder.add`; waits until replay has what was completed before."""
        added = self._adder.add(a_tm1, version_tm1, step_t, extras_tm1)
        items = Items(self._table, added.items, added.priorities)
        self._writer.write(
            [] if added.items is None else [items],
            steps=added.steps,
            keep_from=added.keep_from,
            num_env_steps=step_t.num_env_steps(),
        )

    def close(self) -> None:
        """Lets replay give up the steps that only these environments refer to."""
        self._writer.close()
