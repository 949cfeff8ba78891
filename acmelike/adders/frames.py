"""Stacks of frames, each frame of which is stored once."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import optree
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.adder import Adder, AdderOutput
from acmelike.replay import PADDING, Rows
from acmelike.types import Array, EnvironmentSpec, NestedSpec, VectorStep

_COLUMN = "frames"


def observations_signature(spec: EnvironmentSpec, *axes: int) -> specs.Array | Rows:
    """The place of observations `[*axes, ...]` in a table's signature.

    What is sampled is the same in either case.

    Args:
      spec: of the environments; where they show stacks, each frame is a row.
      axes: lengths of the axes before those of an observation.
    """
    observations = spec.observations
    if spec.num_frames == 1:
        shape = (*axes, *observations.shape)
        return specs.Array(shape, observations.dtype, observations.name)
    frame = specs.Array(observations.shape[1:], observations.dtype)
    return Rows(column=_COLUMN, row=frame, length=(*axes, spec.num_frames))


def store_frames_once(adder: Adder, signature: NestedSpec, *, num_envs: int) -> Adder:
    """The adder itself, or in another where the signature has rows of frames.

    Args:
      adder: of K environments.
      signature: of the table that its items go to.
      num_envs: K.
    """
    for leaf in optree.tree_leaves(signature):
        if isinstance(leaf, Rows) and leaf.column == _COLUMN:
            return FrameAdder(adder, num_envs=num_envs, num_frames=leaf.lengths[-1])
    return adder


class FrameAdder:
    """Gives replay every frame once, and items the numbers of their frames.

    The adder inside gets the numbers of frames in the place of stacks, `[K, F]`, so
    what it makes of observations refers to frames.

    Args:
      adder: makes the items.
      num_envs: K.
      num_frames: F, of a stack.
    """

    def __init__(self, adder: Adder, *, num_envs: int, num_frames: int) -> None:
        self.span = adder.span
        self._adder, self._num_frames = adder, num_frames
        self._envs = np.arange(num_envs)
        # Of steps and of the times at which there were frames, K of them.
        self._num_steps, self._time = 0, 0
        # Frames that were not handed out yet, and the numbers `[K, F]` of those seen
        # at the last times, as far back as items reach.
        self._unsent: list[Array] = []
        self._stacks: deque[Array] = deque(maxlen=self.span + 1)

    def start(self, step: VectorStep) -> None:
        """See `Adder.start`."""
        self._stacks.clear()
        self._adder.start(self._numbered(step))

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds what followed an action; see `Adder.add`.

        Returns:
          Its items have `[M, ..., F]` numbers of frames in the place of observations.
        """
        added = self._adder.add(a_tm1, version_tm1, self._numbered(step_t), extras_tm1)
        items, steps = added.items, dict(added.steps)
        keep_from = dict(added.keep_from)
        if "o_t" in steps:
            # Observations of a `Sequence` are rows themselves, here of numbers.
            del steps["o_t"], keep_from["o_t"]
            if items is not None:
                items = items._replace(o_t=self._stacks_of(items.o_t))
        self._num_steps += 1
        steps[_COLUMN], self._unsent = np.concatenate(self._unsent), []
        keep_from[_COLUMN] = int(self._stacks[0].min())
        return added._replace(items=items, steps=steps, keep_from=keep_from)

    def _numbered(self, step: VectorStep) -> VectorStep:
        """The step with the numbers of its frames, `[K, F]`."""
        newest = (self._time * len(self._envs) + self._envs)[:, None]
        self._time += 1
        self._unsent.append(step.observation[:, -1])
        if self._stacks:
            before = np.where(step.first()[:, None], newest, self._stacks[-1][:, 1:])
        else:
            before = np.repeat(newest, self._num_frames - 1, axis=1)
        self._stacks.append(np.concatenate([before, newest], axis=1))
        return step._replace(observation=self._stacks[-1])

    def _stacks_of(self, steps: Array) -> Array:
        """The numbers of the frames `[M, T, F]` of the steps with numbers `[M, T]`."""
        # The newest is what this step led to, and is of none.
        seen = np.concatenate(list(self._stacks)[:-1])
        first = (self._num_steps + 1) * len(self._envs) - len(seen)
        is_padding = steps == PADDING
        numbers = seen[np.where(is_padding, 0, steps - first)]
        return np.where(is_padding[..., None], PADDING, numbers)
