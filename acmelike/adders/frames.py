"""Stores each frame of stacked observations once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import optree
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.adder import Adder, AdderOutput
from acmelike.replay import PADDING, Rows
from acmelike.types import (
    Array,
    EnvironmentSpec,
    Nested,
    NestedSpec,
    VectorStep,
    is_stacked,
)

# The column of the frames of a single array. Each of several arrays has its own column,
# such as "frames/camera", or "newest/action_mask" for an array that is not stacked.
_FRAMES, _NEWEST = "frames", "newest"


def observations_signature(spec: EnvironmentSpec, *axes: int) -> NestedSpec:
    """The part of a table's signature for observations `[*axes, ...]`.

    Stacks of frames are stored as rows of single frames. Samples have whole stacks.

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

    def rows(path: tuple[Any, ...], leaf: specs.Array) -> Rows:
        column = _column_of(path)
        if not is_stacked(path):
            newest = specs.Array(leaf.shape, leaf.dtype)
            return Rows(column=column, row=newest, length=axes)
        frame = specs.Array(leaf.shape[1:], leaf.dtype)
        return Rows(column=column, row=frame, length=(*axes, spec.num_frames))

    return optree.tree_map_with_path(rows, observations)


def _column_of(path: tuple[Any, ...]) -> str:
    return "/".join([_FRAMES if is_stacked(path) else _NEWEST, *map(str, path)])


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
        if isinstance(leaf, Rows) and leaf.column.partition("/")[0] == _FRAMES:
            return FrameAdder(adder, num_envs=num_envs, num_frames=leaf.lengths[-1])
    return adder


class FrameAdder:
    """An `Adder` that sends each frame once; items refer to frames by number.

    The inner adder gets numbers instead of arrays. A stacked array is replaced by the
    numbers of its frames, `[K, F]`; one that is not stacked, by the number of its
    newest row, `[K]`. So the observations in its items are numbers.

    Args:
      adder: the inner adder, which makes the items.
      num_envs: K.
      num_frames: F, the number of frames in a stack.
    """

    def __init__(self, adder: Adder, *, num_envs: int, num_frames: int) -> None:
        self.span = adder.span
        self._adder, self._num_frames = adder, num_frames
        self._envs = np.arange(num_envs)
        # How many steps were added so far, and how often K frames came: with each step
        # and with each `start`.
        self._num_steps, self._time = 0, 0
        # By column, the frames that are not sent yet; and the numbers `[K, F]` of the
        # stacks of the last times, as many as an item can contain.
        self._unsent: defaultdict[str, list[Array]] = defaultdict(list)
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
        if observed := [name for name in steps if name.partition("/")[0] == "o_t"]:
            # A `Sequence` refers to observations by row. The rows are numbers of
            # frames here, and the items get these numbers instead.
            for name in observed:
                del steps[name], keep_from[name]
            if items is not None:
                # All arrays of an observation are of the same steps.
                numbers = self._stacks_of(optree.tree_leaves(items.o_t)[0])
                items = items._replace(o_t=_with_numbers(items.o_t, numbers))
        self._num_steps += 1
        first_kept = int(self._stacks[0].min())
        for column, frames in self._unsent.items():
            steps[column], keep_from[column] = np.concatenate(frames), first_kept
        self._unsent.clear()
        return output._replace(items=items, steps=steps, keep_from=keep_from)

    def _number_frames(self, step: VectorStep) -> VectorStep:
        """Replaces the observation of a step by the numbers of its frames, `[K, F]`."""
        newest = (self._time * len(self._envs) + self._envs)[:, None]
        self._time += 1
        paths, arrays, _ = optree.tree_flatten_with_path(step.observation)
        for path, array in zip(paths, arrays, strict=True):
            frames = array[:, -1] if is_stacked(path) else array
            self._unsent[_column_of(path)].append(frames)
        if self._stacks:
            before = np.where(step.first()[:, None], newest, self._stacks[-1][:, 1:])
        else:
            before = np.repeat(newest, self._num_frames - 1, axis=1)
        self._stacks.append(np.concatenate([before, newest], axis=1))
        numbers = _with_numbers(step.observation, self._stacks[-1])
        return step._replace(observation=numbers)

    def _stacks_of(self, steps: Array) -> Array:
        """The numbers of the frames, `[M, T, F]`, of steps `[M, T]` given by number."""
        # The newest stack is the one that the present step led to; it is in no item.
        seen = np.concatenate(list(self._stacks)[:-1])
        first = (self._num_steps + 1) * len(self._envs) - len(seen)
        is_padding = steps == PADDING
        numbers = seen[np.where(is_padding, 0, steps - first)]
        return np.where(is_padding[..., None], PADDING, numbers)


def _with_numbers(observations: Nested, numbers: Array) -> Nested:
    """Observations with numbers of frames `[..., F]` in the place of their arrays.

    An array that is not stacked has the number of the newest frame, `[...]`.
    """
    return optree.tree_map_with_path(
        lambda path, _: numbers if is_stacked(path) else numbers[..., -1], observations
    )
