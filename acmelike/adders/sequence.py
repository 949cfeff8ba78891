"""Adds sequences of T steps of K environments; each step is stored once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import optree
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.adder import AdderOutput
from acmelike.adders.frames import observations_signature
from acmelike.errors import ConfigError
from acmelike.replay import PADDING, Rows
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

AtEnd = Literal["pad", "shift", "drop", "continue"]


class Sequence(NamedTuple):
    """T successive steps of one environment; every field has a leading `[T]`.

    Step t is an observation, the action that answered it, and the reward and discount
    that followed. The last observation of an episode is a step too: it has no action,
    and its action, reward, discount and mask are zero.

    Attributes:
      o_t: `[T, ...]`, the observations.
      a_t: `[T, ...]`, the actions that answered them.
      r_t: `[T]` float32, the rewards that followed.
      discount_t: `[T]` float32, the environment's discounts that followed; zero after
        termination, and at the last observation of every episode, truncated or not.
      is_first: `[T]` bool, whether the observation is the first of an episode.
      mask: `[T]` float32, 1 where an action was taken; 0 at the last observation of an
        episode and in the padding of a short sequence.
      version: `[T]` int64, the versions of the parameters that chose the actions.
      extras: by name, `[T, ...]` outputs of the policy beside the actions; without an
        axis of time, the output at the first step.
    """

    o_t: Nested
    a_t: Nested
    r_t: Nested
    discount_t: Nested
    is_first: Nested
    mask: Nested
    version: Nested
    extras: Nested


# Sequences [M, T, ...], with observations as the adder gets them -> priorities [M].
# With frame stacks, observations are numbers of frames here, and not images.
SequencePriority: TypeAlias = Callable[[Sequence], Array]


def sequence_signature(
    spec: EnvironmentSpec,
    length: int,
    extras: Mapping[str, specs.Array] = {},
    first_extras: Mapping[str, specs.Array] = {},
) -> Sequence:
    """The signature of a table of sequences.

    Args:
      spec: of the environments.
      length: T.
      extras: by name, the specs of the policy's outputs beside the action, without
        axes of time and environments.
      first_extras: the same, for outputs that a sequence keeps of its first step only,
        such as the state of a recurrent network.
    """

    def rows(column: str, row: specs.Array, length: int | None = length) -> Rows:
        return Rows(column=column, row=row, length=length)

    o_t = optree.tree_map(rows, _columns_of(spec.observations), spec.observations)
    return Sequence(
        o_t=o_t if spec.num_frames == 1 else observations_signature(spec, length),
        a_t=rows("a_t", spec.actions),
        r_t=rows("r_t", specs.Array((), np.float32)),
        discount_t=rows("discount_t", specs.Array((), np.float32)),
        is_first=rows("is_first", specs.Array((), np.bool_)),
        mask=rows("mask", specs.Array((), np.float32)),
        version=rows("version", specs.Array((), np.int64)),
        extras={
            **{name: rows(f"extras/{name}", row) for name, row in extras.items()},
            **{
                name: rows(f"extras/{name}", row, None)
                for name, row in first_extras.items()
            },
        },
    )


def _columns_of(nest: Nested) -> Nested:
    """The name of the shared column of each array, in the place of the array.

    It is "o_t"; of several arrays, one is for example "o_t/arm/position".
    """
    return optree.tree_map_with_path(
        lambda path, _: "/".join(["o_t", *map(str, path)]), nest
    )


class SequenceAdder:
    """An `Adder` of sequences of T steps.

    A sequence is completed every `period` steps, so successive sequences overlap by
    `length - period` steps.

    Args:
      num_envs: K.
      length: T.
      period: the steps from the beginning of one sequence to that of the next.
      at_end: what happens with the last steps of an episode if they do not fill a
        sequence.
        "pad": they are followed by zeros; a last observation alone makes no sequence,
        as no action answers it.
        "shift": the sequence begins earlier, and overlaps more with the one before; an
        episode of less than T steps is padded.
        "drop": they are in no sequence.
        "continue": they are followed by the next episode.
      first_extras: names of the extras that are kept of the first step only.
      initial_priority: computes the first priorities of sequences; None for the largest
        priority so far.

    Raises:
      ConfigError: a number is less than 1, the period longer than a sequence, or
        `at_end` unknown.
    """

    def __init__(
        self,
        *,
        num_envs: int,
        length: int,
        period: int,
        at_end: AtEnd = "pad",
        first_extras: Collection[str] = (),
        initial_priority: SequencePriority | None = None,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("period", period)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if length < period:
            raise ConfigError(
                f"length must be at least period = {period}, not {length}"
            )
        if at_end not in get_args(AtEnd):
            expected = ", ".join(get_args(AtEnd))
            raise ConfigError(f"at_end must be one of {expected}, not {at_end}")
        self._num_envs, self._length, self._period = num_envs, length, period
        self._at_end, self._first_extras = at_end, frozenset(first_extras)
        self.span = length
        self._initial_priority = initial_priority
        # The last steps; only priorities need them.
        self._recent: deque[dict[str, Array]] = deque(maxlen=length)
        self._envs = np.arange(num_envs)
        self._now: VectorStep | None = None
        # The column of each array of observations, nested as they are.
        self._columns: Nested = None
        self._time = 0
        # Three time steps of each environment: the beginning of its next sequence, the
        # first step that is in no sequence yet, and the beginning of its episode.
        self._start = np.zeros(num_envs, np.int64)
        self._fresh = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)

    def start(self, step: VectorStep) -> None:
        self._now, self._columns = step, _columns_of(step.observation)
        self._recent.clear()
        for times in (self._start, self._fresh, self._episode):
            times[:] = self._time

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`.

        Returns:
          The items are a `Sequence` of numbers of steps, `[M, T]`.

        Raises:
          RuntimeError: `start` was not called.
        """
        if self._now is None:
            raise RuntimeError("add was called before start")
        is_next_first = step_t.first()
        steps = self._steps(
            self._now, np.asarray(a_tm1), version_tm1, step_t, is_next_first
        )
        for name, values in extras_tm1.items():
            steps[f"extras/{name}"] = values
        if self._initial_priority is not None:
            self._recent.append(steps)
        time, self._time, self._now = self._time, self._time + 1, step_t

        # The environment and the beginning of each completed sequence.
        full = self._start + self._length == self._time
        envs, starts = self._envs[full], self._start[full]
        self._fresh[full] = self._time
        self._start[full] += self._period
        if self._at_end != "continue" and is_next_first.any():
            ends = is_next_first & (self._fresh < self._time) & (self._at_end != "drop")
            if self._at_end == "pad":
                ends &= self._start < time
            first = self._start[ends]
            if self._at_end == "shift":
                first = np.maximum(
                    np.minimum(first, self._time - self._length), self._episode[ends]
                )
            envs = np.concatenate([envs, self._envs[ends]])
            starts = np.concatenate([starts, first])
            for times in (self._start, self._fresh, self._episode):
                times[is_next_first] = self._time
        items = self._items(envs, starts, time, extras_tm1) if len(envs) else None
        first_kept = int(self._start.min())
        if self._at_end == "shift":
            first_kept = min(first_kept, max(0, self._time - self._length))
        keep_from = dict.fromkeys(steps, first_kept * self._num_envs)
        priorities = None
        if items is not None and self._initial_priority is not None:
            priorities = self._initial_priority(self._whole(items))
        return AdderOutput(items, steps, keep_from, priorities)

    def _steps(
        self,
        now: VectorStep,
        action: Array,
        version: int,
        step: VectorStep,
        is_next_first: Array,
    ) -> dict[str, Array]:
        """The rows of one time: one of each environment, in each column."""
        action = action.copy()
        action[is_next_first] = 0  # The last observation of an episode has no action.
        observed = optree.tree_leaves(now.observation)
        return {
            **dict(zip(optree.tree_leaves(self._columns), observed, strict=True)),
            "a_t": action,
            "r_t": step.reward,
            "discount_t": np.where(is_next_first, np.float32(0), step.discount),
            "is_first": now.first(),
            "mask": (~is_next_first).astype(np.float32),
            "version": np.full(self._num_envs, version, np.int64),
        }

    def _whole(self, items: Sequence) -> Sequence:
        """The steps `[M, T, ...]` that items refer to."""
        first = (self._time - len(self._recent)) * self._num_envs

        def rows(column: str, numbers: Array) -> Array:
            is_padding = numbers == PADDING
            recent = np.concatenate([steps[column] for steps in self._recent])
            found = recent[np.where(is_padding, 0, numbers - first)]
            found[is_padding] = 0
            return found

        fields = items._asdict()
        extras, o_t = fields.pop("extras"), fields.pop("o_t")
        return Sequence(
            o_t=optree.tree_map(rows, self._columns, o_t),
            **{name: rows(name, numbers) for name, numbers in fields.items()},
            extras={name: rows(f"extras/{name}", x) for name, x in extras.items()},
        )

    def _items(
        self,
        envs: Array,
        starts: Array,
        last: int,
        extras: Iterable[str],
    ) -> Sequence:
        times = starts[:, None] + np.arange(self._length)
        numbers = times * self._num_envs + envs[:, None]
        # All fields share one array, so it is sent only once.
        numbers = np.where(times <= last, numbers, PADDING)
        fields: dict[str, Any] = dict.fromkeys(Sequence._fields, numbers)
        fields["o_t"] = optree.tree_map(lambda _: numbers, self._columns)
        fields["extras"] = {
            name: numbers[:, 0] if name in self._first_extras else numbers
            for name in extras
        }
        return Sequence(**fields)
