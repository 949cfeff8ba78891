"""Transitions between stacks of frames, each frame of which is stored once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.added import Added
from acmelike.adders.n_step import NStepAdder
from acmelike.replay import Rows
from acmelike.types import (
    Array,
    EnvironmentSpec,
    Transition,
    VectorStep,
    transition_signature,
)

_COLUMN = "frames"


def frame_transition_signature(spec: EnvironmentSpec) -> Transition:
    """The signature of a table of transitions between stacks `[F, ...]`.

    What is sampled is as with `transition_signature`.

    Args:
      spec: of environments that show stacks, as `FrameStack` does.
    """
    num_frames, *shape = spec.observations.shape
    frame = specs.Array(shape, spec.observations.dtype)
    stack = Rows(column=_COLUMN, row=frame, length=num_frames)
    return transition_signature(spec)._replace(o_tm1=stack, o_t=stack)


class FrameAdder:
    """Makes transitions of stacks of which replay has each frame once.

    The adder inside is told numbers of frames in the place of stacks, and so its items
    refer to frames.

    Args:
      adder: makes the transitions.
      num_envs: K.
      num_frames: F, of a stack.
      span: the most steps from the newest frame of a transition's first observation to
        the newest frame when the transition is handed out.
    """

    def __init__(
        self, adder: NStepAdder, *, num_envs: int, num_frames: int, span: int
    ) -> None:
        self._adder, self._num_frames, self._span = adder, num_frames, span
        self._envs = np.arange(num_envs)
        self._time = 0  # Of the next frames, K of them.
        # Frames that were not handed out yet, and the numbers of those last seen.
        self._first: list[Array] = []
        self._numbers = np.zeros((num_envs, num_frames), np.int64)

    def start(self, step: VectorStep) -> None:
        """See `Adder.start`."""
        self._first.append(step.observation[:, -1])
        self._adder.start(self._numbered(step, begins=np.ones(len(self._envs), bool)))

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> Added:
        """Adds what followed an action; see `NStepAdder.add`.

        Returns:
          Its items are a `Transition` whose observations are numbers of frames.
        """
        frames, self._first = [*self._first, step_t.observation[:, -1]], []
        numbered = self._numbered(step_t, begins=step_t.first())
        added = self._adder.add(a_tm1, version_tm1, numbered, extras_tm1)
        # That of the first observation of the oldest item that is still to come.
        oldest = self._time - self._span - self._num_frames + 1
        return added._replace(
            steps={_COLUMN: np.concatenate(frames)},
            keep_from={_COLUMN: max(0, oldest) * len(self._envs)},
        )

    def _numbered(self, step: VectorStep, *, begins: Array) -> VectorStep:
        """The step with the numbers of its frames, `[K, F]`."""
        newest = (self._time * len(self._envs) + self._envs)[:, None]
        self._time += 1
        before = np.where(begins[:, None], newest, self._numbers[:, 1:])
        self._numbers = np.concatenate([before, newest], axis=1)
        return step._replace(observation=self._numbers)
