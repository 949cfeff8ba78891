"""The recorder: the time steps of one actor, through an adder, to replay."""

from __future__ import annotations

from collections.abc import Mapping

from acmelike.adders import store_frames_once
from acmelike.agent import Builder
from acmelike.replay import Items, Replay, Writer
from acmelike.types import Array, EnvironmentSpec, VectorStep


class Recorder:
    """What the environments of one actor do, on its way to replay.

    Args:
      builder: of the agent, whose adder makes the items.
      spec: of the environments.
      num_envs: K.
      replay: where items go.
      table: the table's name.
    """

    def __init__(
        self,
        builder: Builder,
        spec: EnvironmentSpec,
        num_envs: int,
        replay: Replay,
        table: str,
    ):
        signature = builder.make_table(spec).signature
        self._adder = store_frames_once(
            builder.make_adder(num_envs), signature, num_envs=num_envs
        )
        self._table = table
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
        items = []
        if added.items is not None:
            items.append(Items(self._table, added.items, added.priorities))
        self._writer.write(
            items,
            steps=added.steps,
            keep_from=added.keep_from,
            num_env_steps=step_t.num_env_steps(),
        )

    def close(self) -> None:
        """Lets replay give up the steps that only these environments refer to."""
        self._writer.close()
