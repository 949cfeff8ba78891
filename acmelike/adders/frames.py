"""Stores each frame of stacked observations once."""

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


def observations_signature(spec: EnvironmentSpec, *axes: int) -> NestedSpec:
    """The part of a table's signature for observations `[*axes, ...]`.

    Stacks of frames are stored as rows of single frames. Samples do not differ.

    Args:
      spec: of the environments.
      *axes: the lengths of the axes before those of an observation.
    """
    observations = spec.observations
    if spec.num_frames == 1:
        return optree.tree_map(
            lambda leaf: specs.Array((*axes, *leaf.shape), leaf.dtype, leaf.name),
            observations,
        )
    frame = specs.Array(observations.shape[1:], observations.dtype)
    return Rows(column=_COLUMN, row=frame, length=(*axes, spec.num_frames))


def store_frames_once(adder: Adder, signature: NestedSpec, *, num_envs: int) -> Adder:
    """Wraps an adder in a `FrameAdder` if the table stores frames as rows.

    Args:
      adder: of K environments.
      signature: of the table.
      num_envs: K.

    Returns:
      The wrapped adder, or `adder` itself if observations are not stacks.
    """
    for leaf in optree.tree_leaves(signature):
        if isinstance(leaf, Rows) and leaf.column == _COLUMN:
            return FrameAdder(adder, num_envs=num_envs, num_frames=leaf.lengths[-1])
    return adder


class FrameAdder:
    """An `Adder` that sends each frame once; items refer to frames by number.

    The inner adder gets the numbers of the frames, `[K, F]`, in the place of the
    stacked observations. So the observations in its items are numbers of frames.

    Args:
      adder: the inner adder, which makes the items.
      num_envs: K.
      num_frames: F, the number of frames in a stack.
    """

    def __init__(self, adder: Adder, *, num_envs: int, num_frames: int) -> None:
        self.span = adder.span
        self._adder, self._num_frames = adder, num_frames
        self._envs = np.arange(num_envs)
        # The steps added so far, and the times so far at which K frames came: also at
        # each `start`.
        self._num_steps, self._time = 0, 0
        # The frames that are not sent yet, and the numbers `[K, F]` of the stacks of
        # the last times, as many as an item can contain.
        self._unsent: list[Array] = []
        self._stacks: deque[Array] = deque(maxlen=self.span + 1)

    def start(self, step: VectorStep) -> None:
        self._stacks.clear()
        self._adder.start(self._number_frames(step))

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`.

        Returns:
          Items with numbers of frames, `[M, ..., F]`, in the place of observations.
        """
        output = self._adder.add(
            a_tm1, version_tm1, self._number_frames(step_t), extras_tm1
        )
        items, steps = output.items, dict(output.steps)
        keep_from = dict(output.keep_from)
        if "o_t" in steps:
            # A `Sequence` refers to observations by row. The rows are numbers of
            # frames here, and the items get these numbers instead.
            del steps["o_t"], keep_from["o_t"]
            if items is not None:
                items = items._replace(o_t=self._stacks_of(items.o_t))
        self._num_steps += 1
        steps[_COLUMN], self._unsent = np.concatenate(self._unsent), []
        keep_from[_COLUMN] = int(self._stacks[0].min())
        return output._replace(items=items, steps=steps, keep_from=keep_from)

    def _number_frames(self, step: VectorStep) -> VectorStep:
        """Replaces the observation of a step by the numbers of its frames, `[K, F]`."""
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
        """The numbers of the frames, `[M, T, F]`, of steps `[M, T]` given by number."""
        # The newest stack is the one that the present step led to; it is in no item.
        seen = np.concatenate(list(self._stacks)[:-1])
        first = (self._num_steps + 1) * len(self._envs) - len(seen)
        is_padding = steps == PADDING
        numbers = seen[np.where(is_padding, 0, steps - first)]
        return np.where(is_padding[..., None], PADDING, numbers)
