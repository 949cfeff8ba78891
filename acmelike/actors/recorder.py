"""The recorder: writes the time steps of one actor, through an adder, to replay."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping

import numpy as np
from dm_env import specs

from acmelike.adders import Adder, store_frames_once
from acmelike.replay import EpisodeEnd, Items, Replay, TableConfig, Writer
from acmelike.types import Array, VectorStep

logger = logging.getLogger("acmelike")

# How many unconfirmed writes an actor may have, for items that are sampled repeatedly.
_NUM_AHEAD = 8
_DROPPED = EpisodeEnd(0.0, 0, is_dropped=True)


class Recorder:
    """Writes what happens in the environments of one actor to replay.

    Args:
      adder: makes the items.
      table: that they go to.
      actions: the spec of an action. Environments clip continuous actions to its
        bounds. Actions outside are counted, and stored as the policy chose them.
      num_envs: K.
      replay: that has the table.
      name: in lock-step, the name of the actor. Its replacement after a failure has the
        same name. None without lock-step.
    """

    def __init__(
        self,
        adder: Adder,
        table: TableConfig,
        *,
        actions: specs.Array,
        num_envs: int,
        replay: Replay,
        name: str | None = None,
    ):
        # A copy, as an adder has a state and a program may be launched twice.
        self._adder = store_frames_once(
            copy.deepcopy(adder), table.signature, num_envs=num_envs
        )
        self._table = table.name
        # Items sampled once should be fresh, so the writer may be one call ahead. Other
        # items may be eight calls late, sent as one message.
        num_ahead = 1 if table.max_times_sampled == 1 else _NUM_AHEAD
        self._writer = Writer(replay, num_ahead=num_ahead, name=name)
        # Of the present episodes: the rewards so far, when they began, and how many
        # actions were clipped.
        self._rewards, self._begins = np.zeros(num_envs), np.zeros(num_envs, int)
        self._num_added, self._num_clipped = 0, np.zeros(num_envs, int)
        self._bounds, self._has_warned = _bounds_of(actions), False
        self._before: VectorStep | None = None

    def take_over(self) -> int:
        """Takes the place of the actor that had this name.

        Returns:
          The version of the last items that replay got from it; -1 if it got none.
        """
        return self._writer.take_over()

    @property
    def is_ahead(self) -> bool:
        """Whether some written items are not yet confirmed by replay."""
        return self._writer.is_ahead

    def look(self) -> None:
        """Processes what replay has answered, without waiting; raises its errors."""
        self._writer.write()

    def start(self, step: VectorStep) -> None:
        """Starts with the step that the next action answers."""
        self._adder.start(step)
        self._rewards[:], self._begins[:] = 0.0, self._num_added
        self._num_clipped[:], self._before = 0, step

    def add(
        self,
        a_tm1: Array,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array],
    ) -> None:
        """Adds the step after an action; waits while too many writes are unfinished.

        The arguments are those of `Adder.add`.
        """
        added = self._adder.add(a_tm1, version_tm1, step_t, extras_tm1)
        if self._bounds is not None:
            self._count_clipped(a_tm1, *self._bounds)
        items, num_env_steps = [], step_t.num_env_steps()
        if added.items is not None:
            items.append(Items(self._table, added.items, added.priorities))
        self._writer.write(
            items,
            steps=added.steps,
            keep_from=added.keep_from,
            num_env_steps=num_env_steps,
            episodes=self._ended(step_t, num_env_steps),
            version=version_tm1,
        )

    def _ended(self, step_t: VectorStep, num_env_steps: int) -> list[EpisodeEnd]:
        """The episodes that have ended with this step, or were dropped before it."""
        before, self._before = self._before, step_t
        self._num_added += 1
        self._rewards += step_t.reward
        ended = []
        if num_env_steps < len(self._rewards):  # Some began an episode instead.
            is_first = step_t.first()
            if before is not None:
                # Where there was no last step before, the environment was recreated.
                num_dropped = np.count_nonzero(is_first & ~before.last())
                ended += [_DROPPED] * int(num_dropped)
            self._rewards[is_first], self._num_clipped[is_first] = 0.0, 0
            self._begins[is_first] = self._num_added
        if step_t.any_last():
            is_last = step_t.last()
            lengths = self._num_added - self._begins
            ended += [
                EpisodeEnd(
                    float(self._rewards[k]), int(lengths[k]), int(self._num_clipped[k])
                )
                for k in is_last.nonzero()[0]
            ]
        return ended

    def _count_clipped(self, action: Array, low: Array, high: Array) -> None:
        is_outside = (action < low) | (action > high)
        if not np.count_nonzero(is_outside):
            return
        self._num_clipped += is_outside.reshape(len(action), -1).any(axis=1)
        if not self._has_warned:
            self._has_warned = True
            logger.info(
                "the policy chose actions outside of their bounds, %s to %s; the "
                "environment gets them clipped",
                *(low.tolist(), high.tolist()),
            )

    def close(self) -> None:
        """Writes what remains; replay may then release the steps."""
        self._writer.flush()
        self._writer.close()


def _bounds_of(actions: specs.Array) -> tuple[Array, Array] | None:
    """The bounds of continuous actions, `[...]`; None if they have none.

    They are in single precision, as policies clip their actions in that precision.
    """
    if not isinstance(actions, specs.BoundedArray) or actions.dtype.kind != "f":
        return None
    return actions.minimum.astype(np.float32), actions.maximum.astype(np.float32)
